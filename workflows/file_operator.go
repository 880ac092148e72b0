package workflows

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// Decision is what an operator says about a parked file.
type Decision struct {
	// From is the step to retry from: download, verify, upload or notify, but
	// none after the one that failed; empty means that one. Skip ignores it.
	From ingest.Step `json:"from,omitempty"`
	// Actor and Reason go to the ledger. A signal by hand may leave them out.
	Actor  string `json:"actor"`
	Reason string `json:"reason"`
	// Entry is the key of the entry that API and command line write into the audit
	// log before they send a decision. Without it nobody has checked who decides.
	Entry string `json:"entry,omitempty"`
}

// IngestStatus answers QueryStatus.
type IngestStatus struct {
	Step ingest.Step `json:"step"`
	// Mode is the transfer mode.
	Mode ingest.Mode `json:"mode"`
	// Host is the task queue of the worker that has the staged bytes.
	Host string `json:"host,omitempty"`
	// Parked is set while the file waits for an operator.
	Parked *ingest.Failure `json:"parked,omitempty"`
	// Restages counts how often the file was fetched anew.
	Restages int `json:"restages"`
}

// decision is a Decision and what it decides.
type decision struct {
	Decision
	action string
	// own: no operator decided, but this workflow.
	own bool
}

// listenToOperators makes the workflow answer queries and take operator actions.
func (f *fileIngest) listenToOperators(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (IngestStatus, error) {
		return IngestStatus{Step: f.step, Mode: f.mode, Host: f.host.Queue, Parked: f.parked, Restages: f.restages}, nil
	})
	if err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateRetry, ingest.ActionRetry); err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateSkip, ingest.ActionSkip); err != nil {
		return err
	}
	if err := f.listen(ctx, UpdateRenotify, ingest.ActionRenotify); err != nil {
		return err
	}
	return f.listenToReprocess(ctx)
}

// listen takes decisions as updates, which answer, and as signals, which do not.
func (f *fileIngest) listen(ctx workflow.Context, name, action string) error {
	take := func(ctx workflow.Context, d Decision) error {
		if action == ingest.ActionRenotify {
			d.From = ingest.StepNotify
		}
		f.decision = &decision{Decision: d, action: action}
		f.describe(ctx)
		return nil
	}
	options := workflow.UpdateHandlerOptions{Validator: func(_ workflow.Context, d Decision) error { return f.validate(d, action) }}
	if err := workflow.SetUpdateHandlerWithOptions(ctx, name, take, options); err != nil {
		return err
	}
	workflow.Go(ctx, func(ctx workflow.Context) {
		for {
			var d Decision
			workflow.GetSignalChannel(ctx, name).Receive(ctx, &d)
			if ctx.Err() != nil {
				return
			}
			if d.Actor == "" {
				d.Actor, d.Reason = "signal", "by hand: "+d.Reason
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

// acceptable says why a decision cannot be taken now, if it cannot.
func (f *fileIngest) validate(d Decision, action string) error {
	switch {
	case f.parked == nil:
		return fmt.Errorf("the file is not parked: it is at step %s", f.step)
	case f.decision != nil:
		return errors.New("a decision was taken already")
	case d.Actor == "":
		return errors.New("actor: say who decides")
	case d.From != "" && !slices.Contains(f.retrySteps(), d.From):
		return fmt.Errorf("from %q: the file failed at step %s of mode %s: use one of %v", d.From, f.parked.Step, f.mode, f.retrySteps())
	case action == ingest.ActionRenotify && f.parked.Step != ingest.StepNotify:
		return fmt.Errorf("there is nothing to announce yet: the file failed at step %s", f.parked.Step)
	}
	return nil
}

// retrySteps are the steps that an operator may name for a parked file.
func (f *fileIngest) retrySteps() []ingest.Step { return ingest.RetryFrom(f.mode, f.parked.Step) }

// awaitOperator parks the workflow until somebody decides, and carries the
// decision into the ledger.
func (f *fileIngest) awaitOperator(ctx workflow.Context) (ingest.Status, error) {
	f.describe(ctx)
	if err := f.setStatus(ctx, ingest.StatusError); err != nil {
		return "", err
	}
	d, err := f.awaitDecision(ctx)
	if err != nil {
		return "", err
	}
	if d.From == "" {
		d.From = ingest.StepIn(f.mode, f.parked.Step)
	}
	f.decisions++
	var outcome activities.Outcome
	resuming := withSummary(withQuick(ctx), d.action+" at step "+string(d.From)+", for "+quote(d.Actor)+": "+quote(d.Reason))
	err = workflow.ExecuteActivity(resuming, do.ResumeFile, activities.ResumeFileInput{
		FileUUID: f.in.FileUUID, Action: d.action, From: d.From, Actor: d.Actor, Reason: d.Reason, Entry: d.Entry, Own: d.own,
		Key: fmt.Sprintf("%s/%d", workflow.GetInfo(ctx).WorkflowExecution.RunID, f.decisions),
	}).Get(ctx, &outcome)
	if err != nil {
		return "", err
	}
	f.parked, f.decision, f.step = nil, nil, d.From
	f.restages, f.mismatches, f.note = 0, 0, ""
	if outcome.Status == ingest.StatusSkipped {
		f.discard(ctx)
		return outcome.Status, nil
	}
	return outcome.Status, f.setStatus(ctx, ingest.StatusReady)
}

// awaitDecision waits for an operator or, when the fault was the server's, for
// the server: its repair decides for all files that wait for it.
func (f *fileIngest) awaitDecision(ctx workflow.Context) (decision, error) {
	repaired := false
	if f.parked.Kind.ServerLevel() {
		ctx, cancel := workflow.WithCancel(ctx)
		defer cancel()
		workflow.Go(ctx, func(ctx workflow.Context) {
			repaired = f.awaitServer(ctx) == nil
		})
	}
	if err := workflow.Await(ctx, func() bool { return f.decision != nil || repaired }); err != nil {
		return decision{}, err
	}
	if f.decision == nil {
		f.decision = &decision{action: ingest.ActionRetry, own: true, Decision: Decision{Actor: "stevedore", Reason: "its server was mended"}}
	}
	return *f.decision, nil
}

// awaitServer waits until the server is active and not suspended.
func (f *fileIngest) awaitServer(ctx workflow.Context) error {
	in := activities.AwaitServerInput{ServerUUID: f.in.ServerUUID}
	waiting := withSummary(withQuick(ctx), "until server "+f.server+" is mended")
	return workflow.ExecuteActivity(waiting, do.AwaitServer, in).Get(ctx, nil)
}

// endings say how a file ended.
var endings = map[ingest.Status]string{
	ingest.StatusCompleted:  "the object is in the store, proven and announced",
	ingest.StatusReady:      "it waits for its turn, and another workflow of this id goes on with it",
	ingest.StatusSkipped:    "an operator decided not to take it",
	ingest.StatusVanished:   "it was gone from the server before it was taken",
	ingest.StatusSuperseded: "another version replaced it on the server before it was taken",
}

// describe tells Temporal's Web UI, in Markdown, where the file stands and what
// a person can do. It costs no history: the UI asks the worker for it.
func (f *fileIngest) describe(ctx workflow.Context) { workflow.SetCurrentDetails(ctx, f.details()) }

func (f *fileIngest) details() string {
	switch {
	case f.ended != "":
		return f.title() + " is **" + string(f.ended) + "**: " + endings[f.ended] + "."
	case f.parked != nil && f.decision != nil:
		return f.title() + ": the decision **" + f.decision.action + "** of " + quote(f.decision.Actor) + " is carried out."
	case f.parked != nil:
		return f.parkedDetails()
	default:
		return f.stepDetails()
	}
}

// title names the file.
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
		lines = append(lines, "Its bytes are staged by "+code(f.host.Queue)+".")
	}
	if f.restages > 0 {
		lines = append(lines, fmt.Sprintf("Fetched again %d times, of at most %d.", f.restages, maxRestages))
	}
	if f.note != "" {
		lines = append(lines, f.note)
	}
	lines = append(lines, "A step that fails is tried again without end; the attempt, the last failure and the next try are among the pending activities. "+
		"To hold the step, to let it go on, to try it again at once:")
	of := f.workflowFlag() + " --activity-type " + activities.ActivityOf[f.step]
	return strings.Join(lines, "\n\n") + commands(
		"temporal activity pause "+of, "temporal activity unpause "+of, "temporal activity reset "+of)
}

func (f *fileIngest) parkedDetails() string {
	text := f.title() + " **waits for an operator**: step " + string(f.parked.Step) + " failed with " + code(string(f.parked.Kind)) +
		".\n\n" + quote(f.parked.Message) + "\n\n"
	if f.parked.Kind.ServerLevel() {
		text += "The fault is the server's: it is suspended, and the file goes on by itself once " +
			code("stevedore server test "+f.server) + " finds it mended. Or decide on this file now:"
	} else {
		text += "Mend the cause, then decide:"
	}
	decide := "temporal workflow update execute " + f.workflowFlag() + ` --input '{"actor":"YOU","reason":"WHY"}' --name `
	return text + commands(decide+UpdateRetry, decide+UpdateSkip) +
		"\n\nWith `\"from\":\"" + string(ingest.FirstStep(f.mode)) + "\"` in its input a retry goes back to that step. The same: " +
		code("stevedore file retry "+f.in.FileUUID) + "."
}

// of is how a command names this workflow.
func (f *fileIngest) workflowFlag() string { return "--workflow-id " + ingest.IngestWorkflowID(f.in.FileUUID) }
