package console

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"stevedore/internal/ingest"
)

// eventTypes lists the event types of the change stream, separated by spaces, for scripts.
var eventTypes = strings.Join(toStrings(slices.Sorted(maps.Keys(ingest.EventKeys))), " ")

// toStrings converts named values to strings.
func toStrings[T ~string](values []T) (list []string) {
	for _, value := range values {
		list = append(list, string(value))
	}
	return list
}

// signOf returns the symbol of a status, because color alone must not carry meaning.
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

// status translates a status.
func (v *view) status(s ingest.Status) string { return v.T(string(s)) }

// partDown is an unavailable dependency.
type partDown struct {
	part, name string
	message    notice
}

// partNames labels the dependencies.
var partNames = map[string]string{
	"postgres": "PostgreSQL:", "temporal": "Temporal:", "worker": "Worker:", "keyset": "Keyset:", "object_store": "Object store:", "broker": "Broker:",
}

// health renders the banner of unavailable dependencies. Pages load it separately, because
// a check may take seconds.
func (c *Console) health(r *http.Request, v *view) (answer, error) {
	var down []partDown
	for _, part := range c.d.Operations.Ready(r.Context()) {
		if part.Err != nil {
			name := partNames[part.Part]
			if name == "" {
				name = part.Part + ":"
			}
			down = append(down, partDown{part.Part, v.T(name), v.quote(v.T("unavailable or misconfigured."), part.Err.Error())})
		}
	}
	slices.SortFunc(down, func(x, y partDown) int { return strings.Compare(x.name, y.name) })
	return answer{body: healthBanner(v, down), bare: true}, nil
}

// eventNames labels the events of a file.
var eventNames = map[ingest.EventType]string{
	ingest.EventDiscovered: "First seen", ingest.EventSettled: "Settled", ingest.EventDownloadStarted: "Download started",
	ingest.EventDownloadResumed: "Download resumed", ingest.EventDownloaded: "Downloaded", ingest.EventVerified: "Content verified",
	ingest.EventUploadStart: "Upload started", ingest.EventUploaded: "Stored and verified", ingest.EventNotified: "Notified",
	ingest.EventRetryScheduled: "Attempt failed, retry scheduled", ingest.EventError: "Failed", ingest.EventVanished: "Removed from the server",
	ingest.EventSuperseded: "Replaced by another version", ingest.EventRejected: "Rejected: unsafe name or type",
	ingest.EventSourceDone: "After-ingest action completed", ingest.EventRequeued: "Requeued",
	ingest.EventDeferred: "Deferred", ingest.EventOperatorAction: "Operator action",
}

// event translates an event type; unknown types are unchanged.
func (v *view) event(t ingest.EventType) string {
	if name := eventNames[t]; name != "" {
		return v.T(name)
	}
	return string(t)
}
