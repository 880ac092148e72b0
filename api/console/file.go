package console

import (
	"net/http"
	"strings"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// filePage is the content of a file's page.
type filePage struct {
	file     ingest.File
	events   []timelineEvent
	progress *orchestrator.Progress
}

// timelineEvent is an event and the time since the previous one.
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

// next describes the next step and who must act.
func (p filePage) next(v *view) notice {
	if p.progress != nil {
		if attempt := v.attempt(*p.progress); !attempt.empty() {
			return attempt
		}
	}
	switch p.file.Status {
	case ingest.StatusDiscovered:
		if p.file.Hold == ingest.HoldHeld {
			return plain(v.T("Held: only its modification time changed. Decide on the server's page."))
		}
		if p.file.WaitsFor != "" {
			return plain(v.T("Waiting for %s.", ingest.DisplayPath(p.file.WaitsFor)))
		}
		return plain(v.T("Waiting until the file is unchanged for the server's settle time."))
	case ingest.StatusReady:
		return plain(v.T("Queued until a slot of the server is free."))
	case ingest.StatusError:
		return plain(v.T("Retry or skip the file."))
	case ingest.StatusCompleted:
		if p.file.SourceLeft != "" {
			return v.quote(v.T("Done: stored and notified. The after-ingest action failed and is retried every hour"), p.file.SourceLeft)
		}
		return plain(v.T("Done: stored and notified."))
	case ingest.StatusSkipped:
		return plain(v.T("Nothing: skipped by an operator."))
	case ingest.StatusVanished:
		return plain(v.T("Nothing, unless the file reappears on the server."))
	case ingest.StatusSuperseded:
		return plain(v.T("Nothing: another version replaced it and has its own entry."))
	case ingest.StatusRejected:
		return plain(v.T("Nothing: its name or type is unsafe. Ask the partner to rename it."))
	}
	return plain(v.T("The next step starts automatically."))
}

// cli returns the command that shows the file.
func (p filePage) cli() string { return "stevedore file show " + p.file.UUID }

func (c *Console) decideFile(r *http.Request, v *view) (answer, error) {
	action := ingest.Action(r.PostFormValue("action"))
	if !action.Valid() {
		return answer{}, newError(ingest.KindInvalid, nil, "Unknown action.")
	}
	back := answer{goTo: "/files/" + r.PathValue("file")}
	decision := workflows.OperatorAction{Reason: strings.TrimSpace(r.PostFormValue("reason"))}
	if decision.Reason == "" {
		back.notice, back.bad = plain(v.T("Enter a reason; it is stored in the history.")), true
		return back, nil
	}
	if action == ingest.ActionRetry {
		decision.From = ingest.Step(r.PostFormValue("from"))
	}
	file, err := c.d.Operations.ActOnFile(r.Context(), r.PathValue("file"), action, decision)
	switch {
	case err != nil && ingest.KindOf(err).Permanent():
		back.notice, back.bad = v.explain(err), true
		return back, nil
	case err != nil:
		return answer{}, err
	}
	back.goTo = "/files/" + file.UUID
	switch action {
	case ingest.ActionRetry:
		back.notice = plain(v.T("Retry requested."))
	case ingest.ActionSkip:
		back.notice = plain(v.T("File skipped."))
	case ingest.ActionReprocess:
		back.notice = plain(v.T("Reprocessing requested."))
	default:
		back.notice = plain(v.T("Notification requested."))
	}
	return back, nil
}
