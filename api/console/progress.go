package console

import (
	"strings"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// stepWords names the steps in progress and retry forms. The texts are keys of
// the translation.
var stepWords = map[ingest.Step]string{
	ingest.StepDiscover: "discovery", ingest.StepDownload: "download", ingest.StepVerify: "verification", ingest.StepUpload: "upload",
	ingest.StepTransfer: "transfer", ingest.StepNotify: "notification", ingest.StepAfter: "after-ingest action",
}

// step returns the step's name in the page's language; unknown steps keep theirs.
func (v *view) step(s ingest.Step) string {
	if word := stepWords[s]; word != "" {
		return v.T(word)
	}
	return string(s)
}

// tries says which try this is, when the next one comes and why; nothing while
// the first one runs.
func (v *view) tries(p orchestrator.Progress) (s said) {
	switch {
	case p.Paused:
		s.text = v.T("paused in Temporal")
	case !p.NextTry.IsZero():
		s.text = v.T("attempt %d, next try in %s", p.Attempt, v.span(max(0, p.NextTry.Sub(v.now).Round(time.Second))))
	case p.Attempt > 1 && p.Running:
		s.text = v.T("attempt %d running", p.Attempt)
	case p.Attempt > 1:
		s.text = v.T("attempt %d, waiting for a worker", p.Attempt)
	case !p.Running:
		return plain(v.T("waiting for a worker"))
	default:
		return said{}
	}
	if p.Failure == "" {
		return s
	}
	s.text += v.T(", because:")
	if !v.translated() {
		return plain(s.text + " " + ingest.DisplayPath(p.Failure))
	}
	s.original = p.Failure
	return s
}

// cli is the command that lists the same files.
func (p filesPage) cli() string {
	words := []string{"stevedore file list"}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, quoted(value))
		}
	}
	for _, status := range p.query.statuses {
		add("--status", string(status))
	}
	add("--server", p.query.server)
	add("--path", p.query.path)
	add("--from", inUTC(p.query.from))
	add("--to", inUTC(p.query.to))
	add("--hash", p.query.hash)
	return strings.Join(words, " ")
}

// inUTC is a field's time as RFC 3339.
func inUTC(field string) string {
	if field == "" {
		return ""
	}
	return field + ":00Z"
}

// curl is the request that lists the same files.
func (p filesPage) curl(v *view) string {
	values := p.query.values()
	for _, name := range []string{"from", "to"} {
		if values.Has(name) {
			values.Set(name, inUTC(values.Get(name)))
		}
	}
	values.Set("order", "newest")
	return curl(v, "/api/v1/files?"+values.Encode())
}

func curl(v *view, path string) string {
	return `curl -H "Authorization: Bearer $STEVEDORE_TOKEN" ` + quoted(v.origin+path)
}
