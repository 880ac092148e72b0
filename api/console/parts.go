package console

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// timeOf is a time that templates show; see when.
type timeOf struct{ time.Time }

// at makes a time for templates.
func at(t time.Time) timeOf { return timeOf{t} }

// eventTypes lists the event types that scripts subscribe to in the stream of
// changes, separated by spaces.
var eventTypes = joined(slices.Sorted(maps.Keys(ingest.EventKeys)))

func joined(types []ingest.EventType) string {
	var names []string
	for _, t := range types {
		names = append(names, string(t))
	}
	return strings.Join(names, " ")
}

// signOf tells statuses apart where colours do not.
func signOf(s ingest.Status) string {
	switch s {
	case ingest.StatusDiscovered:
		return "◌"
	case ingest.StatusReady:
		return "○"
	case ingest.StatusDownloading, ingest.StatusDownloaded:
		return "↓"
	case ingest.StatusVerified:
		return "≡"
	case ingest.StatusUploading, ingest.StatusUploaded:
		return "↑"
	case ingest.StatusCompleted:
		return "✓"
	case ingest.StatusError:
		return "✕"
	case ingest.StatusSkipped:
		return "⏭"
	case ingest.StatusRejected:
		return "⊘"
	default:
		return "–"
	}
}

// status is a status in the page's language.
func (v *view) status(s ingest.Status) string { return v.T(string(s)) }

// partDown is a part that does not answer.
type partDown struct {
	part, name string
	message    said
}

// partNames is how people call the parts.
var partNames = map[string]string{
	"postgres": "PostgreSQL:", "temporal": "Temporal:", "worker": "Worker:", "keyset": "Keyset:", "object_store": "Object store:", "broker": "Broker:",
}

// health is asked for by every page once it stands: a part that is down takes
// seconds to be found out.
func (c *Console) health(r *http.Request, v *view) (answer, error) {
	var down []partDown
	for _, part := range c.d.Operations.Ready(r.Context()) {
		if part.Err != nil {
			name := partNames[part.Part]
			if name == "" {
				name = part.Part + ":"
			}
			down = append(down, partDown{part.Part, v.T(name), v.line(v.T("unavailable or misconfigured."), part.Err.Error())})
		}
	}
	slices.SortFunc(down, func(x, y partDown) int { return strings.Compare(x.name, y.name) })
	return answer{body: healthBanner(v, down), bare: true}, nil
}

// eventWords is how people call what happens to a file.
var eventWords = map[ingest.EventType]string{
	ingest.EventDiscovered: "First seen", ingest.EventSettled: "Settled", ingest.EventDownloadStarted: "Download started",
	ingest.EventDownloadResumed: "Download resumed", ingest.EventDownloaded: "Downloaded", ingest.EventVerified: "Content verified",
	ingest.EventUploadStart: "Upload started", ingest.EventUploaded: "Stored and verified", ingest.EventNotified: "Notified",
	ingest.EventRetryScheduled: "Attempt failed, retry scheduled", ingest.EventError: "Failed", ingest.EventVanished: "Removed from the server",
	ingest.EventSuperseded: "Replaced by another version", ingest.EventRejected: "Rejected: unsafe name or type",
	ingest.EventSourceDone: "After-ingest action completed", ingest.EventRequeued: "Requeued",
	ingest.EventDeferred: "Deferred", ingest.EventOperatorAction: "Operator action",
}

// event is what happened, in the page's language.
func (v *view) event(t ingest.EventType) string {
	if word := eventWords[t]; word != "" {
		return v.T(word)
	}
	return string(t)
}
