package operations

import (
	"context"
	"log/slog"
	"time"

	"golang.org/x/sync/singleflight"

	"stevedore/internal/access"
	"stevedore/internal/audit"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/sftp"
	"stevedore/workflows"
)

// Keyring encrypts servers' credentials and binds them to their destinations, see
// credentials.WhereOf. Package credentials implements it.
type Keyring interface {
	// SealAll returns the server with the credentials; empty ones leave the server's own.
	SealAll(server ingest.Server, creds ingest.Credentials) (ingest.Server, error)
	// Reseal opens the credentials of from and seals them with the newest key for to, the same
	// server after a change.
	Reseal(from, to ingest.Server) (ingest.Server, error)
	// Check returns an error if the keyset does not belong to the ledger.
	Check(ctx context.Context, canaries credentials.Canaries) error
	// AllCurrent reports whether all credentials of the server were sealed with the newest key.
	// It returns an error if one cannot be opened.
	AllCurrent(server ingest.Server) (bool, error)
	// Rotate adds a key that seals from then on. Older keys still open values.
	Rotate() error
	// RenewCanary seals the keyset's canary with the newest key.
	RenewCanary(ctx context.Context, canaries credentials.Canaries) error
}

// Prober logs in to a server and reads its root folder once. It sends no credentials to a
// server that presents no pinned key; it then returns the presented key and an error of
// KindHostKey.
type Prober interface {
	Probe(ctx context.Context, server ingest.Server, sample bool) (ProbeResult, error)
	// ProbeDraft is Probe for settings that are not in the ledger. Logins are bounded by
	// host, port and user name.
	ProbeDraft(ctx context.Context, draft Draft, sample bool) (ProbeResult, error)
}

// Draft is a server whose settings are not in the ledger.
type Draft struct {
	ingest.Server
	// Saved is the server that the settings edit; nil for a new server.
	Saved *ingest.Server
	// KeepsPassword reports that the password is the stored one of Saved: logins count as its
	// own.
	KeepsPassword bool
}

// These types of a server test's result are defined by the SFTP adapter.
type (
	// ProbeResult holds the findings of a probe.
	ProbeResult = sftp.ProbeResult
	// ProbeDetails are findings that help an operator to examine a server.
	ProbeDetails = sftp.ProbeDetails
	// Sample is a sample of the files that the patterns include.
	Sample = sftp.Sample
	// OmittedEntry is an entry that a sample does not include.
	OmittedEntry = sftp.OmittedEntry
)

// Lister lists the files of a server with the filters that scans use.
type Lister interface {
	// List calls fn for each entry and returns the unreadable folders. It stops at the
	// first error of fn and returns it unchanged.
	List(ctx context.Context, server ingest.Server, fn func(ingest.Observation) error) (ingest.Unread, error)
}

// Orchestrator starts and describes workflows; see orchestrator.Client, which implements it, for
// the methods. Its errors are of KindTransient while Temporal is unreachable.
type Orchestrator interface {
	StartScan(ctx context.Context, workflowID string, in workflows.ScanAllServersInput, delay time.Duration) (runID string, err error)
	DescribeScan(ctx context.Context, workflowID string) (orchestrator.Execution, error)
	DescribeServer(ctx context.Context, serverUUID string) (orchestrator.Execution, error)
	Act(ctx context.Context, fileUUID, update string, action workflows.OperatorAction) error
	Accepted(ctx context.Context, fileUUID, update string) (bool, error)
	IngestProgress(ctx context.Context, fileUUID string) (progress orchestrator.Progress, known bool, err error)
	StartAudit(ctx context.Context, runUUID string) error
	AuditRunning(ctx context.Context, runUUID string) (bool, error)
	StartIngest(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error
	Reprocess(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error
}

// Check checks the health of one dependency.
type Check struct {
	// Part is the name of the dependency, e.g. "postgres".
	Part string
	// Run returns nil if the dependency is ready, otherwise the problem and its remedy in
	// one line.
	Run func(ctx context.Context) error
}

// Provider returns a dependency. It is called for each operation, so that operations
// which do not need the dependency work while it is down. It returns the same value once
// the dependency was opened.
type Provider[T any] func(ctx context.Context) (T, error)

// Provide returns a Provider of a dependency that is open.
func Provide[T any](dependency T) Provider[T] {
	return func(context.Context) (T, error) { return dependency, nil }
}

// Deps are the dependencies of a Service. Those that no called operation uses may be nil.
type Deps struct {
	Ledger Ledger
	// Log receives what operations cannot return; default none.
	Log          *slog.Logger
	Keyring      Provider[Keyring]
	Prober       Prober
	Orchestrator Orchestrator
	// AuditLedger, Objects and Lister are compared by audits.
	AuditLedger audit.Ledger
	Objects     Provider[audit.Objects]
	Lister      Provider[Lister]
	// Checks are the dependencies whose health Ready reports.
	Checks []Check
	// Defaults fill in settings that an operator leaves out. Their scan interval is the
	// schedule's and decides whether a server is late.
	Defaults ingest.ServerDefaults
	// NewUUID returns a random version 4 UUID.
	NewUUID func() string
	// Now is the clock; default time.Now. The age of files in audits and the shared scans
	// are measured with it.
	Now func() time.Time
}

func notFound(format string, args ...any) error {
	return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, format, args...)
}

// Service implements Operations. It is safe for concurrent use.
type Service struct {
	Events
	Requests
	d     Deps
	trail access.AuditTrail
	// starts joins concurrent starts of one scan, by workflow id.
	starts singleflight.Group
}

var _ Operations = (*Service)(nil)

// New returns a Service with the dependencies.
func New(d Deps) *Service {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{Events: d.Ledger, Requests: d.Ledger, d: d, trail: access.AuditTrail{To: d.Ledger, Log: d.Log}}
}
