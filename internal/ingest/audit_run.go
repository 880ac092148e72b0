package ingest

import "time"

// AuditState is the progress of an audit.
type AuditState string

// The states of an audit.
const (
	AuditRunning   AuditState = "running"
	AuditCompleted AuditState = "completed"
	AuditFailed    AuditState = "failed"
)

// AuditRun is an audit requested by a principal.
type AuditRun struct {
	ID   int64
	UUID string
	// Actor is the name of the principal that requested it.
	Actor string
	// Servers are the uuids of the compared servers; empty means all.
	Servers []string
	// Deep re-reads every object instead of trusting its metadata.
	Deep      bool
	State     AuditState
	StartedAt time.Time
	// FinishedAt is zero while the audit runs.
	FinishedAt time.Time
	AuditCounts
	// Error is the reason why the audit failed, as one line; empty otherwise.
	Error string
}

// AuditCounts counts compared items and discrepancies.
type AuditCounts struct {
	// Sources counts entries listed on servers, Files rows of the ledger, Objects the
	// objects in the store. Bytes is the total size of the compared objects.
	Sources, Files, Objects, Bytes int64
	// Pending counts files in flight and files too recent to compare.
	Pending int64
	// Missing, Extra, Wrong and NotAudited count discrepancies by mark, see AuditMark.
	Missing, Extra, Wrong, NotAudited int64
}

// Discrepancies returns the number of discrepancies.
func (c AuditCounts) Discrepancies() int64 { return c.Missing + c.Extra + c.Wrong + c.NotAudited }

// MaxDiscrepancies is the number of discrepancies stored for one audit. Further
// ones are only counted.
const MaxDiscrepancies = 10_000

// AuditMark classifies a discrepancy in one character.
type AuditMark string

// The marks.
const (
	// AuditMissing: an expected item does not exist.
	AuditMissing AuditMark = "-"
	// AuditExtra: an unexpected item, or a duplicate, exists.
	AuditExtra AuditMark = "+"
	// AuditWrong: the item exists but differs, or needs attention.
	AuditWrong AuditMark = "!"
	// AuditNotAudited: a server, folder or object could not be read.
	AuditNotAudited AuditMark = "?"
)

// Count adds one discrepancy with the mark.
func (c *AuditCounts) Count(mark AuditMark) {
	switch mark {
	case AuditMissing:
		c.Missing++
	case AuditExtra:
		c.Extra++
	case AuditNotAudited:
		c.NotAudited++
	default:
		c.Wrong++
	}
}

// Discrepancy is one discrepancy. All texts are safe to print.
type Discrepancy struct {
	// Seq numbers the discrepancies of an audit from 1.
	Seq  int64
	Mark AuditMark
	// What names the file or other item; Why is the one-line explanation.
	What, Why string
	// Server, Path and FileUUID identify the file; empty where they do not apply.
	Server, Path, FileUUID string
	// Sides describes the item in each compared place.
	Sides AuditSides
}

// String returns the discrepancy as one line.
func (d Discrepancy) String() string { return string(d.Mark) + " " + d.What + ": " + d.Why }

// SideState compares one place with its expected content.
type SideState string

// The states of a side.
const (
	// SideUnknown: not compared, or irrelevant to this discrepancy.
	SideUnknown SideState = ""
	SideSame    SideState = "same"
	SideMissing SideState = "missing"
	SideExtra   SideState = "extra"
	SideWrong   SideState = "wrong"
)

// Word returns the state for APIs: "unknown", "same", "missing", "extra" or "wrong".
func (s SideState) Word() string {
	if s == SideUnknown {
		return "unknown"
	}
	return string(s)
}

// Sign returns the state as one character: "?", "=", "-", "+" or "!".
func (s SideState) Sign() string {
	switch s {
	case SideSame:
		return "="
	case SideMissing:
		return "-"
	case SideExtra:
		return "+"
	case SideWrong:
		return "!"
	default:
		return "?"
	}
}

// AuditSide describes the item of a discrepancy in one place.
type AuditSide struct {
	State SideState `json:"state,omitempty"`
	// Status is the file's status in the ledger; empty for other places.
	Status Status `json:"status,omitempty"`
	// Size is in bytes, nil when unknown; SHA256 and ModTime are then empty.
	Size    *int64    `json:"size,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	ModTime time.Time `json:"mod_time,omitzero"`
	// Count is the number of copies where there is more than one, else 0.
	Count int64 `json:"count,omitempty"`
}

// AuditSides are the four compared places. Notification is the notification as
// recorded in the ledger, because consumers have removed the message from the
// queue.
type AuditSides struct {
	Source       AuditSide `json:"source,omitzero"`
	Ledger       AuditSide `json:"ledger,omitzero"`
	Object       AuditSide `json:"object,omitzero"`
	Notification AuditSide `json:"announcement,omitzero"`
}
