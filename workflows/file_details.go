package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

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
		return f.title() + ": the decision **" + f.decision.action + "** of " + words(f.decision.Actor) + " is carried out."
	case f.parked != nil:
		return f.parkedDetails()
	default:
		return f.stepDetails()
	}
}

func (f *fileIngest) fromServer() string {
	if f.server == "" {
		return ""
	}
	return " from " + f.server
}

// title names the file.
func (f *fileIngest) title() string {
	name := f.path
	if name == "" {
		name = f.in.FileUUID
	}
	title := code(cut(name, messageBytes)) + " (" + size(f.in.Size) + ")"
	if f.server != "" {
		title += " of server " + code(f.server)
	}
	return title
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
	of := f.of() + " --activity-type " + activities.ActivityOf[f.step]
	return strings.Join(lines, "\n\n") + commands(
		"temporal activity pause "+of, "temporal activity unpause "+of, "temporal activity reset "+of)
}

func (f *fileIngest) parkedDetails() string {
	text := f.title() + " **waits for an operator**: step " + string(f.parked.Step) + " failed with " + code(string(f.parked.Kind)) +
		".\n\n" + words(f.parked.Message) + "\n\n"
	if f.parked.Kind.ServerLevel() {
		text += "The fault is the server's: it is suspended, and the file goes on by itself once " +
			code("stevedore server test "+f.server) + " finds it mended. Or decide on this file now:"
	} else {
		text += "Mend the cause, then decide:"
	}
	decide := "temporal workflow update execute " + f.of() + ` --input '{"actor":"YOU","reason":"WHY"}' --name `
	return text + commands(decide+UpdateRetry, decide+UpdateSkip) +
		"\n\nWith `\"from\":\"" + string(ingest.FirstStep(f.mode)) + "\"` in its input a retry goes back to that step. The same: " +
		code("stevedore file retry "+f.in.FileUUID) + "."
}

// of is how a command names this workflow.
func (f *fileIngest) of() string { return "--workflow-id " + ingest.IngestWorkflowID(f.in.FileUUID) }
