package operations

import (
	"context"

	"stevedore/internal/access"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// Ledger is the part of the database that operations use. See package store, which implements
// it, for the methods.
type Ledger interface {
	access.Recorder
	credentials.Canaries
	Events
	Requests

	AddServer(ctx context.Context, server ingest.Server) (ingest.Server, error)
	ServerByName(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	ServerUUID(ctx context.Context, nameOrUUID string) (string, error)
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
	PauseServer(ctx context.Context, serverUUID string) error
	ResumeServer(ctx context.Context, serverUUID string) error
	DecideChanges(ctx context.Context, serverUUID string, decision ingest.ChangesDecision, part, actor, reason, key string) (int64, error)
	EditServer(ctx context.Context, serverUUID string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error)
	RemoveServer(ctx context.Context, serverUUID string, by ingest.OperatorAction, check func(ingest.Server) error) error

	Files(ctx context.Context, filter ingest.FileFilter) ([]ingest.File, error)
	FilesPage(ctx context.Context, filter ingest.FileFilter) (ingest.Page[ingest.File], error)
	CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error)
	CountMatching(ctx context.Context, filter ingest.FileFilter) (int64, error)
	FindFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	SkipNotStarted(ctx context.Context, file ingest.File, by ingest.OperatorAction) (bool, error)
	Events(ctx context.Context, fileUUID string, afterID int64, limit int) ([]ingest.StoredEvent, error)
	Stats(ctx context.Context) (ingest.Stats, error)
	FailureGroups(ctx context.Context, serverUUID string, limit int) ([]ingest.FailureGroup, error)
	Statistics(ctx context.Context, serverUUID string, period ingest.Period) (ingest.Statistics, error)
	RemainingByServer(ctx context.Context) (map[string]ingest.ServerLeft, error)
	CountFilesByServer(ctx context.Context, serverUUIDs []string) (map[string]map[ingest.Status]int64, error)
	PartnerWaits(ctx context.Context, serverUUIDs []string) (map[string]ingest.PartnerWait, error)

	ScansBefore(ctx context.Context, serverUUID string, beforeID int64, limit int) ([]ingest.Scan, error)
	Scan(ctx context.Context, id int64) (ingest.Scan, error)
	ReconciliationsBefore(ctx context.Context, beforeID int64, limit int) ([]ingest.Reconciliation, error)
	AddAuditRun(ctx context.Context, run ingest.AuditRun) error
	EndAudit(ctx context.Context, runUUID, failure string) error
	AuditRun(ctx context.Context, runUUID string) (ingest.AuditRun, error)
	AuditRuns(ctx context.Context, beforeID int64, limit int) ([]ingest.AuditRun, error)
	ListDiscrepancies(ctx context.Context, runUUID string, afterSeq int64, limit int) ([]ingest.Discrepancy, error)
}
