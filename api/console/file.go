package console

import (
	"net/http"
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
	if p.file.Status == ingest.StatusDiscovered && p.file.Hold == ingest.HoldHeld {
		return plain(v.T("Held: only its time or path is new. Decide on the server's page."))
	}
	if waits, ok := p.file.Waits(); ok {
		return plain(v.T("Waiting for %s.", v.note(waits).text))
	}
	switch p.file.Status {
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

// actionNotices confirm the operator actions of a file's page.
var actionNotices = map[ingest.Action]string{
	ingest.ActionRetry: "Retry requested.", ingest.ActionSkip: "File skipped.", ingest.ActionRenotify: "Notification requested.",
	ingest.ActionReprocess: "Reprocessing requested.",
}

// reasonExamples are examples of the reasons for operator actions.
var reasonExamples = map[ingest.Action]string{
	ingest.ActionRetry: "e.g. the partner corrected the permissions", ingest.ActionSkip: "e.g. the partner withdrew the file",
	ingest.ActionRenotify: "e.g. the consumer lost the message", ingest.ActionReprocess: "e.g. the object was deleted by mistake",
}

func (c *Console) actOnFile(r *http.Request, v *view) (answer, error) {
	action, uuid := ingest.Action(r.PostFormValue("action")), r.PathValue("file")
	if !action.Valid() {
		return answer{}, newError(ingest.KindInvalid, nil, "Unknown action.")
	}
	reason, err := reasonOf(r)
	if err == nil {
		decision := workflows.OperatorAction{Reason: reason}
		if action == ingest.ActionRetry {
			decision.From = ingest.Step(r.PostFormValue("from"))
		}
		_, err = c.d.Operations.ActOnFile(r.Context(), uuid, action, decision)
	}
	return v.done("/files/"+uuid, v.T(actionNotices[action]), err)
}
