package operations

import (
	"cmp"
	"context"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// ActOnFile implements Files.
func (s *Service) ActOnFile(ctx context.Context, uuidOrPrefix string, action ingest.Action, d workflows.OperatorAction) (ingest.File, error) {
	return s.actOnFile(ctx, uuidOrPrefix, action, d, func() error { return s.noWorker(ctx) })
}

// actOnFile is ActOnFile with noWorker, which returns the error that no worker runs.
func (s *Service) actOnFile(ctx context.Context, uuidOrPrefix string, action ingest.Action, d workflows.OperatorAction, noWorker func() error) (ingest.File, error) {
	file, err := s.GetFile(ctx, uuidOrPrefix)
	if err != nil {
		return file, err
	}
	if action == ingest.ActionSkip && notBegun(file.Status) {
		return file, s.skipNotBegun(ctx, file, d)
	}
	if wanted := wantedStatus(action, file); file.Status != wanted {
		if taken, err := s.d.Orchestrator.Accepted(ctx, file.UUID, string(action)); taken && err == nil {
			return file, nil
		}
		return file, ingest.Errorf(ingest.KindConflict, "%s is %s: %s requires status %s%s",
			ingest.Summary(file.RemotePath), file.Status, action, wanted, orSkip(file.Status))
	}
	d.Actor = access.From(ctx).Name
	d.Reason = ingest.DisplayPath(d.Reason) // shown in many places, as one printable line
	details := map[string]any{"path": ingest.DisplayPath(file.RemotePath), "server": file.ServerName, "reason": d.Reason}
	if d.From != "" {
		details["from"] = d.From
	}
	return file, s.trail.Do(ctx, "file."+string(action), file.UUID, details, func(entry string) error {
		d.Entry = entry
		if err := noWorker(); err != nil {
			return err // the action was not sent: a worker that is started later must not carry it out
		}
		return unconfirmed(s.awaitWorker(ctx, func(ctx context.Context) error { return s.act(ctx, file, action, d) }))
	})
}

// unconfirmed marks a transient error of an action that was sent: Temporal keeps the action
// for the next worker.
func unconfirmed(err error) error {
	if !ingest.IsKind(err, ingest.KindTransient) {
		return err
	}
	return access.Unconfirmed(ingest.Errorf(ingest.KindTransient,
		"%s; the action may still be carried out: check the status of the file before you repeat it", ingest.Message(err)))
}

// wantedStatus returns the status that the action requires of the file.
func wantedStatus(action ingest.Action, file ingest.File) ingest.Status {
	if action == ingest.ActionReprocess || action == ingest.ActionRenotify && file.Status == ingest.StatusCompleted {
		return ingest.StatusCompleted
	}
	return ingest.StatusError
}

// orSkip returns a hint for a file that has not started.
func orSkip(status ingest.Status) string {
	if notBegun(status) {
		return "; a file that has not started can be skipped"
	}
	return ""
}

// notBegun reports whether a file of the status may have no workflow yet: it settles, or
// waits for another file or a slot.
func notBegun(status ingest.Status) bool {
	return status == ingest.StatusDiscovered || status == ingest.StatusReady
}

// skipNotBegun skips a file without a workflow. No workflow would ever skip it: its server
// may be paused, or the file that it waits for may never arrive.
func (s *Service) skipNotBegun(ctx context.Context, file ingest.File, d workflows.OperatorAction) error {
	by := ingest.OperatorAction{Action: ingest.ActionSkip, Actor: access.From(ctx).Name, Reason: ingest.DisplayPath(d.Reason), Verified: true}
	details := map[string]any{"path": ingest.DisplayPath(file.RemotePath), "server": file.ServerName, "reason": by.Reason}
	return s.trail.Do(ctx, "file.skip", file.UUID, details, func(entry string) error {
		by.Entry, by.Key = entry, entry
		skipped, err := s.d.Ledger.SkipNotStarted(ctx, file, by)
		if err == nil && !skipped {
			err = ingest.Errorf(ingest.KindConflict, "%s has just started: a file in flight can be skipped once it has failed", ingest.Summary(file.RemotePath))
		}
		return err
	})
}

func (s *Service) act(ctx context.Context, file ingest.File, action ingest.Action, d workflows.OperatorAction) error {
	in := workflows.FileIngestInput{FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode}
	if action == ingest.ActionReprocess {
		in.Reprocess = &d
		return s.d.Orchestrator.Reprocess(ctx, file, in)
	}
	if file.Status == ingest.StatusCompleted {
		in.Renotify = &d
		return s.d.Orchestrator.StartIngest(ctx, file, in)
	}
	err := s.d.Orchestrator.Act(ctx, file.UUID, string(action), d)
	if ingest.KindOf(err) == ingest.KindMissing {
		return s.actWithoutWorkflow(ctx, file, action, d)
	}
	return err
}

// actWithoutWorkflow starts a workflow that waits for the action of a failed file. A file
// that never settled has none, and in Temporal a workflow can be cancelled or terminated.
func (s *Service) actWithoutWorkflow(ctx context.Context, file ingest.File, action ingest.Action, d workflows.OperatorAction) error {
	file, err := s.GetFile(ctx, file.UUID)
	if err != nil {
		return err
	}
	if file.Status != ingest.StatusError { // the workflow has just ended
		return ingest.Errorf(ingest.KindConflict, "%s is %s now: %s requires status error", ingest.Summary(file.RemotePath), file.Status, action)
	}
	mode := cmp.Or(file.Mode, ingest.ModeStaged)
	err = s.d.Orchestrator.StartIngest(ctx, file, workflows.FileIngestInput{
		FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size, Mode: file.Mode,
		Failure: &ingest.Failure{Step: ingest.StepIn(mode, file.ErrorStep), Kind: file.ErrorKind, Message: file.ErrorMessage},
	})
	if err != nil && ingest.KindOf(err) != ingest.KindConflict { // another request may have started it
		return err
	}
	err = s.d.Orchestrator.Act(ctx, file.UUID, string(action), d)
	if ingest.KindOf(err) == ingest.KindMissing {
		return ingest.Wrap(ingest.KindConflict, err, "the workflow of %s has just ended: check its status, then try again", ingest.Summary(file.RemotePath))
	}
	return err
}
