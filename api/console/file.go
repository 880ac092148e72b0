package console

import (
	"net/http"
	"strings"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// filePage is what the page of one file shows.
type filePage struct {
	file     ingest.File
	events   []timelineEvent
	progress *orchestrator.Progress
}

// timelineEvent is an event and how long after the one before it came.
type timelineEvent struct {
	ingest.StoredEvent
	after time.Duration
	first bool
}

func (c *Console) file(r *http.Request, v *view) (answer, error) {
	file, err := c.d.Operations.GetFile(r.Context(), r.PathValue("file"))
	if err != nil {
		return answer{}, err
	}
	events, err := c.d.Operations.FileEvents(r.Context(), file.UUID)
	if err != nil {
		return answer{}, err
	}
	page := filePage{file: file, events: timeline(events)}
	if progress, known := c.d.Operations.Progress(r.Context(), []ingest.File{file})[file.UUID]; known {
		page.progress = &progress
	}
	return answer{title: ingest.DisplayPath(file.Filename), body: fileView(v, page)}, nil
}

func timeline(events []ingest.StoredEvent) (list []timelineEvent) {
	for i, event := range events {
		shown := timelineEvent{StoredEvent: event, first: i == 0}
		if i > 0 {
			shown.after = event.Timestamp.Sub(events[i-1].Timestamp)
		}
		list = append(list, shown)
	}
	return list
}

// next says what happens next and who must do what.
func (p filePage) next(v *view) said {
	if p.progress != nil {
		if tries := v.tries(*p.progress); !tries.empty() {
			return tries
		}
	}
	switch p.file.Status {
	case ingest.StatusDiscovered:
		if p.file.Hold == ingest.HoldHeld {
			return plain(v.T("An operator decides, on the page of its server, whether it is taken: only its time is new."))
		}
		if p.file.WaitsFor != "" {
			return plain(v.T("It is taken once it has what it waits for: %s.", ingest.DisplayPath(p.file.WaitsFor)))
		}
		return plain(v.T("It is taken once it has stayed unchanged for the server's settle time."))
	case ingest.StatusReady:
		return plain(v.T("It is fetched as soon as one of the server's places is free."))
	case ingest.StatusError:
		return plain(v.T("It waits for an operator: retry it, or skip it."))
	case ingest.StatusCompleted:
		if p.file.SourceLeft != "" {
			return v.line(v.T("It is in the object store and announced; its source is still on the server, which is tried again every hour"), p.file.SourceLeft)
		}
		return plain(v.T("Nothing: it is in the object store and announced."))
	case ingest.StatusSkipped:
		return plain(v.T("Nothing: an operator has given it up."))
	case ingest.StatusVanished:
		return plain(v.T("Nothing, unless the server shows it again."))
	case ingest.StatusSuperseded:
		return plain(v.T("Nothing: the server shows another version, which is a file of its own here."))
	case ingest.StatusRejected:
		return plain(v.T("Nothing: its name or kind is unsafe. The partner must give it another name."))
	}
	return plain(v.T("It is on its way; the next step follows by itself."))
}

// cli is the command that shows the same.
func (p filePage) cli() string { return "stevedore file show " + p.file.UUID }

// fileDecisions are the forms of one file's page.
var fileDecisions = map[string]operations.Action{"retry": operations.Retry, "skip": operations.Skip, "renotify": operations.Renotify, "reprocess": operations.Reprocess}

func (c *Console) decideFile(r *http.Request, v *view) (answer, error) {
	action, known := fileDecisions[r.PostFormValue("action")]
	if !known {
		return answer{}, tell(ingest.KindInvalid, nil, "The action is none of those that are offered.")
	}
	back := answer{goTo: "/files/" + r.PathValue("file")}
	decision := workflows.OperatorAction{Reason: strings.TrimSpace(r.PostFormValue("reason"))}
	if decision.Reason == "" {
		back.notice, back.bad = plain(v.T("Say why: it goes into the files' history.")), true
		return back, nil
	}
	if action == operations.Retry {
		decision.From = ingest.Step(r.PostFormValue("from"))
	}
	file, err := c.d.Operations.ActOnFile(r.Context(), r.PathValue("file"), action, decision)
	switch {
	case err != nil && ingest.KindOf(err).Permanent():
		back.notice, back.bad = v.said(err), true
		return back, nil
	case err != nil:
		return answer{}, err
	}
	back.goTo = "/files/" + file.UUID
	switch action {
	case operations.Retry:
		back.notice = plain(v.T("It goes on."))
	case operations.Skip:
		back.notice = plain(v.T("It is skipped."))
	case operations.Reprocess:
		back.notice = plain(v.T("It is ingested again."))
	default:
		back.notice = plain(v.T("It is announced again."))
	}
	return back, nil
}
