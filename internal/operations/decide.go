package operations

import (
	"cmp"
	"context"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// Action is what an operator can do with a file.
type Action string

// The actions on files. Retry and Skip are for parked ones, Skip for those that have
// not begun, too; Renotify announces a completed one, or one that failed at that,
// again; Reprocess ingests a completed one again whose object is lost.
const (
	Retry    Action = workflows.UpdateRetry
	Skip     Action = workflows.UpdateSkip
	Renotify Action = workflows.UpdateRenotify

	Reprocess Action = workflows.UpdateReprocess
)

// Decide carries out an operator's decision on the file with the uuid, or
// whose uuid begins so, and returns the file as it was. A decision that does not
// fit the file's state is KindConflict and says why.
func (s *Service) ActOnFile(ctx context.Context, uuidOrPrefix string, action Action, d workflows.OperatorAction) (ingest.File, error) {
	file, err := s.GetFile(ctx, uuidOrPrefix)
	if err != nil {
		return file, err
	}
	if action == Skip && notBegun(file.Status) {
		return file, s.skipNotBegun(ctx, file, d)
	}
	if wanted := wantedStatus(action, file); file.Status != wanted {
		if taken, err := s.d.Orchestrator.Accepted(ctx, file.UUID, string(action)); taken && err == nil {
			return file, nil
		}
		return file, ingest.Errorf(ingest.KindConflict, "%s is %s: %s is for files that are %s%s",
			ingest.Summary(file.RemotePath), file.Status, action, wanted, orSkip(file.Status))
	}
	d.Actor = access.From(ctx).Name
	d.Reason = ingest.DisplayPath(d.Reason) // it is shown in many places: as one line that can be seen
	details := map[string]any{"path": ingest.DisplayPath(file.RemotePath), "server": file.ServerName, "reason": d.Reason, "from": d.From}
	if d.Entry, err = s.record(ctx, "file."+string(action), file.UUID, details); err != nil {
		return file, err
	}
	return file, s.decide(ctx, file, action, d)
}

// wantedStatus is the status in which the action fits the file.
func wantedStatus(action Action, file ingest.File) ingest.Status {
	if action == Reprocess || action == Renotify && file.Status == ingest.StatusCompleted {
		return ingest.StatusCompleted
	}
	return ingest.StatusError
}

// orSkip says what else can be done with a file that has not begun.
func orSkip(status ingest.Status) string {
	if notBegun(status) {
		return "; one that has not begun can be skipped"
	}
	return ""
}

// notBegun reports whether a file of the status may be without a workflow yet: it
// settles, waits for something, or for its turn.
func notBegun(status ingest.Status) bool {
	return status == ingest.StatusDiscovered || status == ingest.StatusReady
}

// skipNotBegun ends a file that no workflow carries. Nothing else may: its server may
// be paused, or what it waits for may never come.
func (s *Service) skipNotBegun(ctx context.Context, file ingest.File, d workflows.OperatorAction) error {
	ledger, err := s.d.Ledger(ctx)
	if err != nil {
		return err
	}
	by := ingest.OperatorAction{Action: ingest.ActionSkip, Actor: access.From(ctx).Name, Reason: ingest.DisplayPath(d.Reason), Verified: true}
	details := map[string]any{"path": ingest.DisplayPath(file.RemotePath), "server": file.ServerName, "reason": by.Reason}
	if by.Entry, err = s.record(ctx, "file.skip", file.UUID, details); err != nil {
		return err
	}
	by.Key = by.Entry
	skipped, err := ledger.SkipNotBegun(ctx, file, by)
	if err == nil && !skipped {
		err = ingest.Errorf(ingest.KindConflict, "%s has just begun: a file on its way can be skipped once it ends in error", ingest.Summary(file.RemotePath))
	}
	return err
}

func (s *Service) decide(ctx context.Context, file ingest.File, action Action, d workflows.OperatorAction) error {
	if action == Reprocess {
		return s.d.Orchestrator.Reprocess(ctx, file, workflows.FileIngestInput{
			FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode, Reprocess: &d,
		})
	}
	if file.Status == ingest.StatusCompleted {
		return s.d.Orchestrator.StartIngest(ctx, file, workflows.FileIngestInput{
			FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode, Renotify: &d,
		})
	}
	err := s.d.Orchestrator.Act(ctx, file.UUID, string(action), d)
	if ingest.KindOf(err) == ingest.KindMissing && file.ErrorKind == ingest.KindUnsettled {
		err = s.decideFirst(ctx, file, action, d)
	}
	if ingest.KindOf(err) == ingest.KindMissing {
		return ingest.Wrap(ingest.KindConflict, err, "%s waits for a decision, but its workflow is gone: the reconciler starts it again",
			ingest.Summary(file.RemotePath))
	}
	return err
}

// decideFirst carries out a decision on a file that no workflow has carried yet: one
// that waits for the decision is begun.
func (s *Service) decideFirst(ctx context.Context, file ingest.File, action Action, d workflows.OperatorAction) error {
	step := ingest.FirstStep(cmp.Or(file.Mode, ingest.ModeStaged))
	err := s.d.Orchestrator.StartIngest(ctx, file, workflows.FileIngestInput{
		FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode,
		Parked: &ingest.Failure{Step: step, Kind: file.ErrorKind, Message: file.ErrorMessage},
	})
	if err != nil && ingest.KindOf(err) != ingest.KindConflict {
		return err
	}
	return s.d.Orchestrator.Act(ctx, file.UUID, string(action), d)
}
