package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// OperatorAction is an operator action on a failed file.
type OperatorAction struct {
	// From is the step to retry from, at or before the failed one; empty means the
	// failed step. Skip ignores it.
	From ingest.Step `json:"from,omitempty"`
	// Actor and Reason are recorded in the ledger. A signal may omit them.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Entry is the key of the audit log entry that the API writes before it sends
	// the action. Without it the actor is not verified.
	Entry string `json:"entry,omitempty"`
}

// ActionPending is the message that rejects an operator action while another one is
// not yet recorded in the ledger.
const ActionPending = "another action is in progress"

// IngestStatus answers QueryStatus.
type IngestStatus struct {
	Step ingest.Step `json:"step"`
	// Mode is the transfer mode.
	Mode ingest.Mode `json:"mode"`
	// Host is the task queue of the host of the staged bytes.
	Host string `json:"host,omitempty"`
	// Failure is the failure of a file that needs attention; otherwise nil.
	Failure *ingest.Failure `json:"failure,omitempty"`
	// Restages counts how often the file was fetched again.
	Restages int `json:"restages"`
}

// pendingAction is an OperatorAction with the name of its action.
type pendingAction struct {
	OperatorAction
	action ingest.Action
	// automatic: the workflow itself retries, because the server was repaired.
	automatic bool
}

// listenToOperators registers the handlers of queries and operator actions.
func (f *fileIngest) listenToOperators(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (IngestStatus, error) {
		return IngestStatus{Step: f.step, Mode: f.mode, Host: f.host.Queue, Failure: f.failure, Restages: f.restages}, nil
	})
	if err != nil {
		return err
	}
	for _, action := range []ingest.Action{ingest.ActionRetry, ingest.ActionSkip, ingest.ActionRenotify} {
		if err := f.listen(ctx, action); err != nil {
			return err
		}
	}
	return f.listenToReprocess(ctx)
}

// listen accepts an operator action as an update, which returns an answer, and as a
// signal, which does not.
func (f *fileIngest) listen(ctx workflow.Context, action ingest.Action) error {
	name := string(action)
	take := func(ctx workflow.Context, d OperatorAction) error {
		if action == ingest.ActionRenotify {
			d.From = ingest.StepNotify
		}
		f.pending = &pendingAction{OperatorAction: d, action: action}
		f.describe(ctx)
		return nil
	}
	options := workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, d OperatorAction) error { return f.validate(d, action) }}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, name, take, options); err != nil {
		return err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var d OperatorAction
			workflow.GetSignalChannel(ctx, name).Receive(ctx, &d)
			if ctx.Err() != nil {
				return
			}
			if d.Actor == "" {
				d.Actor, d.Reason = "signal", "signal: "+d.Reason
			}
			if err := f.validate(d, action); err != nil {
				workflow.GetLogger(ctx).Warn("signal ignored", "signal", name, "error", err)
				continue
			}
			_ = take(ctx, d)
		}
	})
	return nil
}

// validate returns an error if the action is not possible now.
func (f *fileIngest) validate(d OperatorAction, action ingest.Action) error {
	switch {
	case f.failure == nil:
		return fmt.Errorf("the file has not failed: it is at step %s", f.step)
	case f.pending != nil:
		return errors.New(ActionPending)
	case d.Actor == "":
		return errors.New("actor: required")
	case d.From != "" && !slices.Contains(f.retrySteps(), d.From):
		return fmt.Errorf("from %q: not a step to retry from; the file failed at step %s of mode %s: use one of %v", d.From, f.failure.Step, f.mode, f.retrySteps())
	case action == ingest.ActionRenotify && f.failure.Step != ingest.StepNotify:
		return fmt.Errorf("no notification to publish yet: the file failed at step %s", f.failure.Step)
	}
	return nil
}

// retrySteps returns the steps from which the failed file can be retried.
func (f *fileIngest) retrySteps() []ingest.Step { return ingest.RetryFrom(f.mode, f.failure.Step) }

// awaitOperator waits for an operator action on the failed file and records it in the
// ledger.
func (f *fileIngest) awaitOperator(ctx workflow.Context) (ingest.Status, error) {
	f.describe(ctx)
	if err := f.setStatus(ctx, ingest.StatusError); err != nil {
		return "", err
	}
	d, err := f.awaitAction(ctx)
	if err != nil {
		return "", err
	}
	if d.From == "" {
		d.From = ingest.StepIn(f.mode, f.failure.Step)
	}
	f.actions++
	var outcome activities.Outcome
	resuming := withSummary(withQuick(ctx), string(d.action)+" at step "+string(d.From)+", by "+quote(d.Actor)+": "+quote(d.Reason))
	err = workflow.ExecuteActivity(resuming, do.ResumeFile, activities.ResumeFileInput{
		FileUUID: f.in.FileUUID, Action: d.action, From: d.From, Actor: d.Actor, Reason: d.Reason, Entry: d.Entry, Own: d.automatic,
		Key: fmt.Sprintf("%s/%d", workflow.GetInfo(ctx).WorkflowExecution.RunID, f.actions),
	}).Get(ctx, &outcome)
	if err != nil {
		return "", err
	}
	f.failure, f.pending, f.step = nil, nil, d.From
	f.restages, f.mismatches, f.note = 0, 0, ""
	if outcome.Status == ingest.StatusSkipped {
		f.discard(ctx)
		return outcome.Status, nil
	}
	return outcome.Status, f.setStatus(ctx, ingest.StatusReady)
}

// awaitAction waits for an operator action. After a server-level failure it also
// waits for the server: its repair retries all files that failed because of it.
func (f *fileIngest) awaitAction(ctx workflow.Context) (pendingAction, error) {
	repaired := false
	if f.failure.Kind.ServerLevel() {
		ctx, cancel := workflow.WithCancel(ctx)
		defer cancel()
		workflow.Go(ctx, func(ctx workflow.Context) {
			repaired = f.awaitServer(ctx) == nil
		})
	}
	if err := workflow.Await(ctx, func() bool { return f.pending != nil || repaired }); err != nil {
		return pendingAction{}, err
	}
	if f.pending == nil {
		f.pending = &pendingAction{action: ingest.ActionRetry, automatic: true, OperatorAction: OperatorAction{Actor: "stevedore", Reason: "the server was repaired"}}
	}
	return *f.pending, nil
}

// awaitServer waits until the server is active and not suspended.
func (f *fileIngest) awaitServer(ctx workflow.Context) error {
	in := activities.AwaitServerInput{ServerUUID: f.in.ServerUUID}
	waiting := withSummary(withQuick(ctx), "wait until server "+f.server+" is repaired")
	return workflow.ExecuteActivity(waiting, do.AwaitServer, in).Get(ctx, nil)
}

// endings explain each final status.
var endings = map[ingest.Status]string{
	ingest.StatusCompleted:  "stored, verified and notified",
	ingest.StatusReady:      "waiting for a slot; another workflow with this id continues it",
	ingest.StatusSkipped:    "an operator skipped it",
	ingest.StatusVanished:   "it was removed from the server before it was fetched",
	ingest.StatusSuperseded: "another version replaced it on the server before it was fetched",
}

// describe sets the details in Temporal's Web UI, in Markdown: the state of the file
// and the commands for an operator. Details are not part of the history.
func (f *fileIngest) describe(ctx workflow.Context) { workflow.SetCurrentDetails(ctx, f.details()) }

func (f *fileIngest) details() string {
	switch {
	case f.ended != "":
		return f.title() + " is **" + string(f.ended) + "**: " + endings[f.ended] + "."
	case f.failure != nil && f.pending != nil:
		return f.title() + ": action **" + string(f.pending.action) + "** by " + quote(f.pending.Actor) + " is in progress."
	case f.failure != nil:
		return f.failureDetails()
	default:
		return f.stepDetails()
	}
}

// title returns the file's name, size and server in Markdown.
func (f *fileIngest) title() string {
	name := f.path
	if name == "" {
		name = f.in.FileUUID
	}
	title := code(truncate(name, messageBytes)) + " (" + size(f.in.Size) + ")"
	if f.server != "" {
		title += " of server " + code(f.server)
	}
	return title
}

func (f *fileIngest) fromServer() string {
	if f.server == "" {
		return ""
	}
	return " from " + f.server
}

func (f *fileIngest) stepDetails() string {
	info, _ := f.step.Info()
	steps := ingest.StepsOf(f.mode)
	at := slices.IndexFunc(steps, func(step ingest.StepInfo) bool { return step.Step == f.step })
	lines := []string{fmt.Sprintf("%s **%s**, transfer mode %s.", f.title(), info.Label, f.mode)}
	if at >= 0 {
		lines[0] = fmt.Sprintf("%s **%s**, step %d of %d, transfer mode %s.", f.title(), info.Label, at+1, len(steps), f.mode)
	}
	if f.host.Queue != "" {
		lines = append(lines, "Staged on "+code(f.host.Queue)+".")
	}
	if f.restages > 0 {
		lines = append(lines, fmt.Sprintf("Fetched again %d times (limit %d).", f.restages, maxRestages))
	}
	if f.note != "" {
		lines = append(lines, f.note)
	}
	lines = append(lines, "Failed steps are retried. Pending activities show the attempt, the last failure and the next retry. "+
		"To pause, resume or retry the step now:")
	of := f.workflowFlag() + " --activity-type " + activities.ActivityOf[f.step]
	return strings.Join(lines, "\n\n") + commands(
		"temporal activity pause "+of, "temporal activity unpause "+of, "temporal activity reset "+of)
}

func (f *fileIngest) failureDetails() string {
	text := f.title() + " **failed and needs attention**: step " + string(f.failure.Step) + ", error " + code(string(f.failure.Kind)) +
		".\n\n" + quote(f.failure.Message) + "\n\n"
	if f.failure.Kind.ServerLevel() {
		text += "The server is suspended. The file is retried automatically after " +
			code("stevedore server test "+f.server) + " succeeds. To retry or skip this file now:"
	} else {
		text += "Fix the cause, then retry or skip the file:"
	}
	decide := "temporal workflow update execute " + f.workflowFlag() + ` --input '{"actor":"YOU","reason":"WHY"}' --name `
	return text + commands(decide+UpdateRetry, decide+UpdateSkip) +
		"\n\nTo retry from the first step, add `\"from\":\"" + string(ingest.FirstStep(f.mode)) + "\"` to the input. The same from the command line: " +
		code("stevedore file retry "+f.in.FileUUID) + "."
}

// workflowFlag returns the flag that selects this workflow in the temporal CLI.
func (f *fileIngest) workflowFlag() string {
	return "--workflow-id " + temporalnames.IngestWorkflowID(f.in.FileUUID)
}
