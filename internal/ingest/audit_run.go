package ingest

import "time"

// AuditState says how far an audit has come.
type AuditState string

// The states of an audit.
const (
	AuditRunning   AuditState = "running"
	AuditCompleted AuditState = "completed"
	AuditFailed    AuditState = "failed"
)

// AuditRun is an audit that somebody asked for.
type AuditRun struct {
	ID   int64
	UUID string
	// Actor is who asked for it.
	Actor string
	// Servers are the uuids of those that are compared; empty means all.
	Servers []string
	// Deep reads every object again instead of trusting its metadata.
	Deep      bool
	State     AuditState
	StartedAt time.Time
	// FinishedAt is zero while it runs.
	FinishedAt time.Time
	AuditCounts
	// Error is why it did not reach its end, as one line.
	Error string
}

// AuditCounts is what an audit has compared and found.
type AuditCounts struct {
	// Sources are entries that servers showed, Files rows of the ledger, Objects
	// what the store listed, Bytes the size of the objects looked at.
	Sources, Files, Objects, Bytes int64
	// Pending files are on their way or too young to be known.
	Pending int64
	// Missing, Extra and Wrong count the differences by their marks: what should
	// be there is not; what should not be there is; it differs.
	Missing, Extra, Wrong int64
}

// Differences is how many there are.
func (c AuditCounts) Differences() int64 { return c.Missing + c.Extra + c.Wrong }

// MaxAuditDifferences is how many differences of an audit are kept; all are
// counted.
const MaxAuditDifferences = 10_000

// AuditMark classifies a difference in one character.
type AuditMark string

// The marks.
const (
	// AuditMissing: an expected thing does not exist.
	AuditMissing AuditMark = "-"
	// AuditExtra: something exists, or exists once more, that should not.
	AuditExtra AuditMark = "+"
	// AuditWrong: it exists and differs, or needs attention.
	AuditWrong AuditMark = "!"
)

// Count adds a difference with the mark to the counts.
func (c *AuditCounts) Count(mark AuditMark) {
	switch mark {
	case AuditMissing:
		c.Missing++
	case AuditExtra:
		c.Extra++
	default:
		c.Wrong++
	}
}

// AuditDifference is one difference that an audit found. All texts are safe to print.
type AuditDifference struct {
	// Seq numbers the differences of an audit from 1.
	Seq  int64
	Mark AuditMark
	// What names the file or thing, Why is one line.
	What, Why string
	// Server, Path and FileUUID are set where they apply.
	Server, Path, FileUUID string
	// Sides is what each place has of it.
	Sides AuditSides
}

// String returns the difference as one line.
func (d AuditDifference) String() string { return string(d.Mark) + " " + d.What + ": " + d.Why }

// SideState says how a place stands to what it should have.
type SideState string

// The states of a side.
const (
	// SideUnknown: it was not compared, or does not matter here.
	SideUnknown SideState = ""
	SideSame    SideState = "same"
	SideMissing SideState = "missing"
	SideExtra   SideState = "extra"
	SideWrong   SideState = "wrong"
)

// Word is the state as programs read it: "unknown", "same", "missing", "extra"
// or "wrong".
func (s SideState) Word() string {
	if s == SideUnknown {
		return "unknown"
	}
	return string(s)
}

// Sign is the state in one character: "?", "=", "-", "+" or "!".
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

// AuditSide is what one place has of the thing that a difference is about.
type AuditSide struct {
	State SideState `json:"state,omitempty"`
	// Status is the file's in the ledger, empty elsewhere.
	Status Status `json:"status,omitempty"`
	// Size in bytes, nil when it is not known; SHA256 and ModTime are empty then.
	Size    *int64    `json:"size,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	ModTime time.Time `json:"mod_time,omitzero"`
	// Count is how many there are where there is more than one.
	Count int64 `json:"count,omitempty"`
}

// AuditSides are the four places that an audit compares. The announcement is
// the one on record: what consumers have taken from a queue is no longer there.
type AuditSides struct {
	Source       AuditSide `json:"source,omitzero"`
	Ledger       AuditSide `json:"ledger,omitzero"`
	Object       AuditSide `json:"object,omitzero"`
	Announcement AuditSide `json:"announcement,omitzero"`
}
