package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// Audits is the record of audits in the ledger.
type Audits interface {
	// BeginAudit starts an attempt: it fences earlier attempts and deletes their
	// findings. For an audit that has ended it returns KindConflict.
	BeginAudit(ctx context.Context, runUUID string) (run ingest.AuditRun, attempt int64, err error)
	// NoteAudit records counts and discrepancies, or returns KindFenced.
	NoteAudit(ctx context.Context, runUUID string, attempt int64, counts ingest.AuditCounts, found []ingest.Discrepancy) error
	// EndAudit closes the audit; failure is empty if it was completed.
	EndAudit(ctx context.Context, runUUID, failure string) error
}

// Auditor compares servers, ledger, objects and notifications.
type Auditor interface {
	// Audit passes each discrepancy to report and the counts so far to progress, never
	// concurrently; an error of report ends the audit. Servers are uuids; none means
	// all.
	Audit(ctx context.Context, servers []string, deep bool, report func(ingest.Discrepancy) error, progress func(ingest.AuditCounts)) (ingest.AuditCounts, error)
}

// AuditInput names an audit.
type AuditInput struct {
	RunUUID string `json:"run_uuid"`
	// Failure is the reason of a failed audit, for EndAudit.
	Failure string `json:"failure,omitempty"`
}

// recordInterval is the interval at which findings are recorded, recordPage the number
// of discrepancies that are recorded at a time.
const (
	recordInterval = 2 * time.Second
	recordPage     = 500
)

// RunAudit runs an audit. Any worker may retry it from the beginning: only the latest
// attempt can write.
func (a *Activities) RunAudit(ctx context.Context, in AuditInput) error {
	run, attempt, err := a.Audits.BeginAudit(ctx, in.RunUUID)
	if ingest.IsKind(err, ingest.KindConflict) {
		return nil // an earlier attempt completed it, and its result was lost
	}
	if err != nil {
		return applicationError(err)
	}
	ctx, stop := startHeartbeat(ctx, nil)
	defer stop()
	notes := &auditRecorder{audits: a.Audits, run: run.UUID, attempt: attempt}
	var late error // the first failure to write; it ends the audit with the next discrepancy
	counts, err := a.Auditor.Audit(ctx, run.Servers, run.Deep,
		func(d ingest.Discrepancy) error {
			if late != nil {
				return late
			}
			return notes.add(ctx, d)
		},
		func(counts ingest.AuditCounts) { late = notes.count(ctx, counts) })
	if err == nil {
		err = late
	}
	if err == nil {
		notes.counts = counts
		err = notes.write(ctx)
	}
	if errors.Is(context.Cause(ctx), ingest.ErrStopped) {
		return drainError(ingest.ErrStopped)
	}
	if err != nil {
		return applicationError(err)
	}
	return applicationError(a.Audits.EndAudit(ctx, run.UUID, ""))
}

// EndAudit records that an audit failed.
func (a *Activities) EndAudit(ctx context.Context, in AuditInput) error {
	return applicationError(a.Audits.EndAudit(ctx, in.RunUUID, in.Failure))
}

// startHeartbeat heartbeats until stop is called, with the values of details, which may
// be nil. The returned context is cancelled with ErrStopped when the worker shuts down.
// Steps that may wait long without progress use it.
func startHeartbeat(ctx context.Context, details func() any) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(HeartbeatEvery)
		defer tick.Stop()
		for {
			if details == nil {
				activity.RecordHeartbeat(ctx)
			} else {
				activity.RecordHeartbeat(ctx, details())
			}
			select {
			case <-ctx.Done():
				return
			case <-activity.GetWorkerStopChannel(ctx):
				cancel(ingest.ErrStopped)
				return
			case <-tick.C:
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// auditRecorder records the findings of an attempt in pages.
type auditRecorder struct {
	audits  Audits
	run     string
	attempt int64

	counts  ingest.AuditCounts
	seq     int64
	unsaved []ingest.Discrepancy
	written time.Time
}

func (n *auditRecorder) add(ctx context.Context, d ingest.Discrepancy) error {
	n.seq++
	if n.seq > ingest.MaxDiscrepancies {
		return nil // counted, not kept
	}
	d.Seq = n.seq
	if n.unsaved = append(n.unsaved, d); len(n.unsaved) < recordPage {
		return nil
	}
	return n.write(ctx)
}

// count records the counts at most every recordInterval.
func (n *auditRecorder) count(ctx context.Context, counts ingest.AuditCounts) error {
	n.counts = counts
	if time.Since(n.written) < recordInterval {
		return nil
	}
	return n.write(ctx)
}

func (n *auditRecorder) write(ctx context.Context) error {
	if err := n.audits.NoteAudit(ctx, n.run, n.attempt, n.counts, n.unsaved); err != nil {
		return err
	}
	n.unsaved, n.written = nil, time.Now()
	return nil
}
