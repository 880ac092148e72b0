package admin

import (
	"context"
	"errors"
	"time"

	"stevedore/internal/audit"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/sftp"
	"stevedore/workflows"
)

// Servers is the record of partners' servers.
type Servers interface {
	// AddServer inserts a server; a name that is taken is an error of KindConflict.
	AddServer(ctx context.Context, server ingest.Server) (ingest.Server, error)
	// ServerByName returns the one with the name or uuid, or an error of KindMissing.
	ServerByName(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// Servers returns a page in order of name, after the given one.
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
	// SetHostKeys changes the pinned keys, and the credentials that are sealed with
	// them, to what pin makes of the server, and ends a suspension.
	SetHostKeys(ctx context.Context, serverUUID string, pin func(ingest.Server) (ingest.Server, error)) error
	// PauseServer switches a server off; ResumeServer switches it on and ends
	// a suspension.
	PauseServer(ctx context.Context, serverUUID string) error
	ResumeServer(ctx context.Context, serverUUID string) error
	// DecideChanges carries out a decision about a part of the server's held changes and
	// returns how many files that were.
	DecideChanges(ctx context.Context, serverUUID string, decision ingest.ChangesDecision, part, actor, reason, key string) (int64, error)
	// EditServer changes the server to what edit makes of it under a lock.
	EditServer(ctx context.Context, serverUUID string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error)
	// RemoveServer removes a server if check agrees and no file of it is open;
	// otherwise it is KindConflict.
	RemoveServer(ctx context.Context, serverUUID string, by ingest.OperatorAction, check func(ingest.Server) error) error
}

// Files is the record of file versions and their events.
type Files interface {
	// Files returns one page in order of id.
	Files(ctx context.Context, filter ingest.FileFilter) ([]ingest.File, error)
	// FilesPage returns a page that may stop early and says where to go on.
	FilesPage(ctx context.Context, filter ingest.FileFilter) (ingest.FilePage, error)
	// CountUpTo counts no more files than the limit.
	CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error)
	// CountMatching counts all files that the filter selects.
	CountMatching(ctx context.Context, filter ingest.FileFilter) (int64, error)
	// FindFile returns one by uuid or a prefix that fits only one; the error is
	// of KindMissing when there is none and of KindConflict when there are several.
	FindFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	// SkipNotBegun ends a file that no workflow carries, and reports whether it was one.
	SkipNotBegun(ctx context.Context, file ingest.File, by ingest.OperatorAction) (bool, error)
	// Events returns a page of what happened to a file, oldest first, after the
	// given id.
	Events(ctx context.Context, fileUUID string, afterID int64, limit int) ([]ingest.StoredEvent, error)
	// Stats says where all files stand and what happened in the last hours.
	Stats(ctx context.Context) (ingest.Stats, error)
	// LeftByServer returns what is on servers and nobody takes away; absent is nothing.
	LeftByServer(ctx context.Context) (map[string]ingest.ServerLeft, error)
	// CountFilesByServer counts the servers' files by status.
	CountFilesByServer(ctx context.Context, serverUUIDs []string) (map[string]map[ingest.Status]int64, error)
	// WaitForPartner says what of the servers waits for what only the partner can do.
	WaitForPartner(ctx context.Context, serverUUIDs []string) (map[string]ingest.PartnerWait, error)
}

// Sealer encrypts a server's credentials. They are bound to where they may be
// sent, see credentials.WhereOf.
type Sealer interface {
	Seal(field string, server ingest.Server, plaintext []byte) ([]byte, error)
	// Reseal opens the credentials of from and seals them for to, the same server
	// after a change.
	Reseal(from, to ingest.Server) (ingest.Server, error)
	// Check refuses a keyset that is not the ledger's.
	Check(ctx context.Context, canaries credentials.Canaries) error
}

// Prober logs in to a server and looks at its root folder once. Without a
// pinned key that fits it must not send credentials; it then returns what the
// server presented together with an error of KindHostKey.
type Prober interface {
	Probe(ctx context.Context, server ingest.Server, sample bool) (Probed, error)
}

// Probed is how far a probe came. It is valid beside an error, too.
type Probed struct {
	// Fingerprint is that of the presented host key, "SHA256:...", as
	// ssh-keygen -l prints it; empty when the connection did not get that far.
	Fingerprint string
	// KeyLine is the key as one authorized_keys line.
	KeyLine string
	// Software is how the server names itself, "SSH-2.0-...".
	Software string
	// Entries is how many entries the root folder has.
	Entries int
	// Latency is how long connecting and logging in took.
	Latency time.Duration
	ProbeDetails
}

// What a probe finds beyond the host key is as the SFTP adapter has it.
type (
	// ProbeDetails are what people who look into a server want to see.
	ProbeDetails = sftp.ProbeDetails
	// Limits are what a server states of itself.
	Limits = sftp.Limits
	// Sample is what the patterns take of a server.
	Sample = sftp.Sample
)

// Lister goes through what a server shows, with the filters that scans use.
type Lister interface {
	// List calls fn for each entry and returns which folders could not be
	// read; an error of fn ends it and is returned as it is.
	List(ctx context.Context, server ingest.Server, fn func(ingest.Observation) error) (ingest.Unread, error)
}

// Engine starts and watches scans in Temporal. When Temporal cannot be
// reached its errors are of KindTransient.
type Engine interface {
	// StartScan starts ScanAllServers under the workflow id, after the delay, and
	// returns the run id. One that was started already is left as it is.
	StartScan(ctx context.Context, workflowID string, in workflows.ScanAllServersInput, delay time.Duration) (runID string, err error)
	// DescribeScan and DescribeServer say how it stands now, without waiting.
	DescribeScan(ctx context.Context, workflowID string) (orchestrator.Execution, error)
	DescribeServer(ctx context.Context, serverUUID string) (orchestrator.Execution, error)
	// Decide gives an operator's decision to a parked file's workflow, by the
	// name of its update, and waits until it has taken or refused it.
	Decide(ctx context.Context, fileUUID, update string, d workflows.Decision) error
	// Decided reports whether the decision of this very request, see
	// WithRequestKey, was taken before.
	Decided(ctx context.Context, fileUUID, update string) (bool, error)
	// IngestProgress says how the step of an open FileIngest stands; known is
	// false while no step is under way.
	IngestProgress(ctx context.Context, fileUUID string) (progress orchestrator.Progress, known bool, err error)
	// StartAudit starts the AuditServers of an audit.
	StartAudit(ctx context.Context, runUUID string) error
	// AuditRunning reports whether the workflow of an audit runs; KindMissing when
	// there is none.
	AuditRunning(ctx context.Context, runUUID string) (bool, error)
	// StartIngest starts a FileIngest; one that is open already is KindConflict.
	StartIngest(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error
	// Reprocess starts a FileIngest that makes a completed file ready again, and waits
	// until it is or was refused.
	Reprocess(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error
}

// Check asks one part whether it can do its work.
type Check struct {
	// Part is its name, e.g. "postgres".
	Part string
	// Run returns nil, or one line that says what is wrong and what to do.
	Run func(ctx context.Context) error
}

// Ledger is the database.
type Ledger interface {
	Servers
	Files
	Access
	Sessions
	AuditRuns
	History
	credentials.Canaries
}

// Opener gives a part when it is needed. Parts are opened late so that what
// does not need one works while it is down; an Opener may be called often and
// returns the same part once it could be opened.
type Opener[T any] func(ctx context.Context) (T, error)

// Opened is the Opener of a part that is open already.
func Opened[T any](part T) Opener[T] {
	return func(context.Context) (T, error) { return part, nil }
}

// Deps is what Admin works with. Parts that an operation does not use may be
// nil.
type Deps struct {
	Ledger Opener[Ledger]
	Sealer Opener[Sealer]
	// Keys is what RotateKey works on.
	Keys   Opener[Keyring]
	Prober Opener[Prober]
	Engine Engine
	// Record, Objects and Lister are what audits compare.
	Record  Opener[audit.Ledger]
	Objects Opener[audit.Objects]
	Lister  Opener[Lister]
	// Checks are the parts that Ready asks.
	Checks []Check
	// Defaults fill in what an operator leaves out of a server. Their scan interval is
	// that of the schedule, which decides whether a server is late.
	Defaults ingest.ServerDefaults
	// NewUUID returns a random version 4 UUID.
	NewUUID func() string
	// Now is the clock that audits measure the age of files with, and the turns of scans; default time.Now.
	Now func() time.Time
}

func notFound(format string, args ...any) error {
	return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, format, args...)
}

// absent reports whether the ledger has no such row. An error with a cause is
// about the ledger itself, such as a schema that is too old.
func absent(err error) bool {
	var known *ingest.Error
	return errors.As(err, &known) && known.Kind == ingest.KindMissing && known.Err == nil
}

// Admin carries out operators' wishes. It is safe for concurrent use.
type Admin struct{ d Deps }

// New returns an Admin that works with the given parts.
func New(d Deps) *Admin {
	if d.Now == nil {
		d.Now = time.Now
	}
	return &Admin{d}
}
