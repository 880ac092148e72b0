package operations

import (
	"context"

	"stevedore/internal/access"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// Ledger is the part of the database that operations use.
type Ledger interface {
	access.Recorder
	credentials.Canaries
	Events
	Requests
	ServerLedger
	FileLedger
	HistoryLedger
}

// ServerLedger stores partners' servers.
type ServerLedger interface {
	// AddServer inserts a server; a name that is taken is KindConflict.
	AddServer(ctx context.Context, server ingest.Server) (ingest.Server, error)
	// ServerByName returns the server with the name or uuid, or KindMissing.
	ServerByName(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// Servers returns a page by name, after the given name.
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
	// PauseServer stops listing a server.
	PauseServer(ctx context.Context, serverUUID string) error
	// ResumeServer lists a server again and ends a suspension.
	ResumeServer(ctx context.Context, serverUUID string) error
	// DecideChanges applies a decision to a part of the server's held changes and returns
	// the number of files.
	DecideChanges(ctx context.Context, serverUUID string, decision ingest.ChangesDecision, part, actor, reason, key string) (int64, error)
	// EditServer replaces the server by the result of edit, under a lock.
	EditServer(ctx context.Context, serverUUID string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error)
	// RemoveServer removes a server if check agrees and no file of it is open, otherwise
	// it returns KindConflict.
	RemoveServer(ctx context.Context, serverUUID string, by ingest.OperatorAction, check func(ingest.Server) error) error
}

// FileLedger stores file versions and their events.
type FileLedger interface {
	// Files returns one page by id.
	Files(ctx context.Context, filter ingest.FileFilter) ([]ingest.File, error)
	// FilesPage returns a page that reads a bounded number of files.
	FilesPage(ctx context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error)
	// CountUpTo counts files up to the limit.
	CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error)
	// CountMatching counts all files that the filter selects.
	CountMatching(ctx context.Context, filter ingest.FileFilter) (int64, error)
	// FindFile returns the file with the uuid or a unique prefix of it. It returns
	// KindMissing without a match and KindConflict with several.
	FindFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	// SkipNotStarted skips a file that has no workflow and reports whether it had none.
	SkipNotStarted(ctx context.Context, file ingest.File, by ingest.OperatorAction) (bool, error)
	// Events returns a page of a file's events after the id, the oldest first.
	Events(ctx context.Context, fileUUID string, afterID int64, limit int) ([]ingest.StoredEvent, error)
	// Stats returns counts of files by server and status, and of events by hour.
	Stats(ctx context.Context) (ingest.Stats, error)
	// FailureGroups groups failed files, the largest groups first.
	FailureGroups(ctx context.Context, serverUUID string, limit int) ([]ingest.FailureGroup, error)
	// Statistics returns the counts of a period, of all servers when serverUUID is empty.
	Statistics(ctx context.Context, serverUUID string, period ingest.Period) (ingest.Statistics, error)
	// RemainingByServer returns the files left on servers; a server without any is absent.
	RemainingByServer(ctx context.Context) (map[string]ingest.ServerLeft, error)
	// CountFilesByServer counts the servers' files by status.
	CountFilesByServer(ctx context.Context, serverUUIDs []string) (map[string]map[ingest.Status]int64, error)
	// PartnerWaits returns the files of the servers that wait for the partner.
	PartnerWaits(ctx context.Context, serverUUIDs []string) (map[string]ingest.PartnerWait, error)
}

// HistoryLedger stores listings, reconciliations and audits. Pages come the latest first,
// before the id; 0 begins with the latest.
type HistoryLedger interface {
	// ScansBefore returns a page of listings, of all servers when serverUUID is empty.
	ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) ([]ingest.Scan, error)
	// Scan returns a listing, or KindMissing.
	Scan(ctx context.Context, id int64) (ingest.Scan, error)
	// ReconciliationsBefore returns a page of reconciliations.
	ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) ([]ingest.Reconciliation, error)
	// AddAuditRun stores an audit that is about to start.
	AddAuditRun(ctx context.Context, run ingest.AuditRun) error
	// EndAudit ends an audit as failed.
	EndAudit(ctx context.Context, runUUID, failure string) error
	// AuditRun returns an audit, or KindMissing.
	AuditRun(ctx context.Context, runUUID string) (ingest.AuditRun, error)
	// AuditRuns returns a page of audits.
	AuditRuns(ctx context.Context, beforeID int64, limit int) ([]ingest.AuditRun, error)
	// ListDiscrepancies returns a page of an audit's discrepancies after the number.
	ListDiscrepancies(ctx context.Context, runUUID string, afterSeq int64, limit int) ([]ingest.Discrepancy, error)
}
