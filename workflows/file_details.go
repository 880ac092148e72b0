package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// ways are the steps of a file's way with the activity that does each.
var ways = []struct {
	step     ingest.Step
	activity string
	doing    string
}{
	{ingest.StepDownload, activities.NameDownload, "is being fetched"},
	{ingest.StepVerify, activities.NameVerifyHash, "is being verified"},
	{ingest.StepUpload, activities.NameUpload, "is being stored"},
	{ingest.StepNotify, activities.NameNotify, "is being announced"},
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

// reach sets the status as the file comes to a step that takes time.
func (f *fileIngest) reach(ctx workflow.Context, status ingest.Status) error {
	f.describe(ctx)
	if !f.in.StatusBySteps || f.status == status {
		return nil
	}
	return f.setStatus(ctx, status)
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
	var lines []string
	name := ""
	for i, way := range ways {
		if way.step == f.step {
			name = way.activity
			lines = append(lines, fmt.Sprintf("%s **%s**, step %d of %d.", f.title(), way.doing, i+1, len(ways)))
		}
	}
	if f.host.Queue != "" {
		lines = append(lines, "Its bytes are staged by "+code(f.host.Queue)+".")
	}
	if f.restages > 0 {
		lines = append(lines, fmt.Sprintf("Fetched anew %d times, of at most %d.", f.restages, maxRestages))
	}
	if f.note != "" {
		lines = append(lines, f.note)
	}
	lines = append(lines, "A step that fails is tried again without end; the attempt, the last failure and the next try are among the pending activities. "+
		"To hold the step, to let it go on, to try it again at once:")
	of := f.of() + " --activity-type " + name
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
		"\n\nWith `\"from\":\"download\"` in its input a retry goes back to that step. The same: " +
		code("stevedore file retry "+f.in.FileUUID) + "."
}

// of is how a command names this workflow.
func (f *fileIngest) of() string { return "--workflow-id " + ingest.IngestWorkflowID(f.in.FileUUID) }
