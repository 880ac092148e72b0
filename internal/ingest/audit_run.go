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

// AuditDifference is one thing that an audit found not to be as it must be.
// All texts are harmless to print.
type AuditDifference struct {
	// Seq numbers the differences of an audit from 1.
	Seq int64
	// Mark is "-" missing, "+" extra or "!" wrong.
	Mark string
	// What names the file or thing, Why is one line.
	What, Why string
	// Server, Path and FileUUID are set where they apply.
	Server, Path, FileUUID string
}
