package operations

import (
	"context"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// Operations is the interface of the API and the console to all actions of operators.
// Methods with the parameter nameOrUUID or uuidOrPrefix return ingest.ErrNotFound for an unknown one. Each
// change is recorded in the audit log before it is made, for the principal of the context.
type Operations interface {
	Servers
	Files
	Scans
	Audits
	Monitor
	Events
	Requests
}

// Servers manages partners' servers.
type Servers interface {
	// ListServers returns all servers by name.
	ListServers(ctx context.Context) ([]ingest.Server, error)
	// GetServer returns one server.
	GetServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// AddServer checks the settings, seals the credentials and stores the server. The
	// errors are of KindInvalid, around an *ingest.InvalidError with every problem, and of
	// KindConflict when the name is taken or another server takes the same files.
	AddServer(ctx context.Context, in NewServer) (ingest.Server, error)
	// EditServer changes a server if it has the given version, see ServerVersion, and
	// returns it. It ends a suspension when the change may be the repair. The errors are
	// those of AddServer and ingest.ErrStale.
	EditServer(ctx context.Context, nameOrUUID, version string, edit ServerEdit) (ingest.Server, error)
	// RemoveServer removes a server whose version is the given one. It returns KindConflict
	// while a file is in flight or failed, and skips files of a paused server that have not
	// started. The files stay in the ledger.
	RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error)
	// PauseServer stops listing a server and starting its files. Files in flight continue.
	PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// ResumeServer lists a server again and ends a suspension.
	ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// TestServer connects, compares the host key, logs in and reads the root folder.
	// Success ends a suspension. The result is valid even if an error is returned.
	TestServer(ctx context.Context, nameOrUUID string, request TestRequest) (TestResult, error)
	// TestSettings tests settings like TestServer, before they are saved. It stores
	// nothing. It uses only the given credentials, and the stored ones of a jump host.
	// The errors are those of AddServer, without conflicts, and of TestServer.
	TestSettings(ctx context.Context, in NewServer, sample bool) (TestResult, error)
	// TestEdit tests a server like TestServer, with the settings and credentials that the
	// edit would leave. It stores nothing. Stored credentials are used only if the edit may
	// keep them. The errors are those of EditServer and TestServer.
	TestEdit(ctx context.Context, nameOrUUID, version string, edit ServerEdit, sample bool) (TestResult, error)
	// ResolveChanges applies the decision to the server's held changes, or to the given
	// part of them, see ingest.ParsePart. It returns the number of files; 0 when no change
	// is held. Files to take are scanned for immediately.
	ResolveChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error)
}

// Files lists files and applies operator actions to them.
type Files interface {
	// ListFiles returns one page. A server in the filter may be a name or a uuid.
	ListFiles(ctx context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error)
	// CountFiles counts the files that the filter selects up to the limit. It reads a
	// bounded number of files; see ingest.Count for an incomplete count.
	CountFiles(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error)
	// GetFile returns the file with the uuid or with a unique prefix of it.
	GetFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	// FileEvents returns all events of a file, the oldest first.
	FileEvents(ctx context.Context, uuidOrPrefix string) ([]ingest.StoredEvent, error)
	// ListFileEvents returns a page of a file's events after the event with the id, the
	// oldest first.
	ListFileEvents(ctx context.Context, uuidOrPrefix string, afterID int64, limit int) (ingest.Page[ingest.StoredEvent], error)
	// ListFailures groups the failed files of the server, or of all servers if it is empty,
	// by server, error kind and step. It returns the largest groups first, at most
	// MaxFailureGroups, and reports whether there are more.
	ListFailures(ctx context.Context, server string) (groups []ingest.FailureGroup, more bool, err error)
	// Progress returns the progress of the files' current steps by uuid. It omits files
	// that are not in flight and those about which Temporal does not answer within 2 s.
	Progress(ctx context.Context, files []ingest.File) map[string]orchestrator.Progress
	// ActOnFile applies an operator action to a file and returns its state before the action.
	// It returns KindConflict when the action does not fit the file's status.
	ActOnFile(ctx context.Context, uuidOrPrefix string, action ingest.Action, details workflows.OperatorAction) (ingest.File, error)
	// ActOnFiles applies an operator action to up to 500 files, the oldest first. What is
	// refused for one file is in the result and does not affect others. After an error no
	// file has changed.
	ActOnFiles(ctx context.Context, req BulkRequest) (BulkResult, error)
}

// Scans starts scans and returns the history of listings and reconciliations.
type Scans interface {
	// StartScan starts a scan and does not wait for it. Without servers (names or uuids)
	// it scans all active servers, due or not, except suspended ones; these are scanned
	// only when named. A paused server is KindInvalid. Requests for the same servers in
	// quick succession share one scan that starts after them.
	StartScan(ctx context.Context, servers []string) (ScanRun, error)
	// GetScan returns the state of a scan. Temporal deletes scans after the namespace's
	// retention; then it returns ingest.ErrNotFound.
	GetScan(ctx context.Context, scanUUID string) (ScanStatus, error)
	// ListScans returns a page of listings before the id, the latest first; server may be
	// empty for all servers.
	ListScans(ctx context.Context, server string, beforeID int64, limit int) (ingest.Page[ingest.Scan], error)
	// GetServerScan returns the listing with the id.
	GetServerScan(ctx context.Context, id int64) (ingest.Scan, error)
	// ListReconciliations returns a page of reconciliations before the id, the latest first.
	ListReconciliations(ctx context.Context, beforeID int64, limit int) (ingest.Page[ingest.Reconciliation], error)
}

// Audits starts audits and returns their results.
type Audits interface {
	// StartAudit starts an audit of the servers, names or uuids; none means all. It does
	// not wait for it.
	StartAudit(ctx context.Context, servers []string, deep bool) (ingest.AuditRun, error)
	// GetAudit returns an audit.
	GetAudit(ctx context.Context, runUUID string) (ingest.AuditRun, error)
	// ListAudits returns a page of audits before the id, the latest first.
	ListAudits(ctx context.Context, beforeID int64, limit int) (ingest.Page[ingest.AuditRun], error)
	// ListDiscrepancies returns a page of the discrepancies that an audit found after the
	// sequence number, in the order in which they were found.
	ListDiscrepancies(ctx context.Context, runUUID string, afterSeq int64, limit int) (ingest.Page[ingest.Discrepancy], error)
}

// Monitor returns the state of the installation.
type Monitor interface {
	// Overview returns the state of all servers and files. Its cost does not depend on the
	// number of files.
	Overview(ctx context.Context) (Overview, error)
	// Statistics counts the completed and failed files of a period, of the server or, if it
	// is empty, of all servers including removed ones.
	Statistics(ctx context.Context, server string, period ingest.Period) (ingest.Statistics, error)
	// Ready checks all dependencies concurrently and returns their states in the order of
	// Deps.Checks, within 3 seconds.
	Ready(ctx context.Context) []PartStatus
}

// Events follows the events of all files.
type Events interface {
	// LastEventID returns the id of the latest event.
	LastEventID(ctx context.Context) (int64, error)
	// EventsAfter returns events after the id, without gaps.
	EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error)
}

// Requests stores responses, so that a repeated request gets the first one.
type Requests interface {
	// BeginRequest records that a request is in progress, or returns the first one with
	// the key; see package store.
	BeginRequest(ctx context.Context, key ingest.RequestKey, digest []byte) (first ingest.FirstRequest, begun bool, err error)
	// EndRequest stores the response to a request; nil deletes the record.
	EndRequest(ctx context.Context, key ingest.RequestKey, response []byte) error
}
