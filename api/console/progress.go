package console

import (
	"strings"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// stepNames labels the steps.
var stepNames = map[ingest.Step]string{
	ingest.StepDiscover: "discovery", ingest.StepDownload: "download", ingest.StepVerify: "verification", ingest.StepUpload: "upload",
	ingest.StepTransfer: "transfer", ingest.StepNotify: "notification", ingest.StepAfter: "after-ingest action",
}

// step translates a step; unknown steps are unchanged.
func (v *view) step(s ingest.Step) string {
	if name := stepNames[s]; name != "" {
		return v.T(name)
	}
	return string(s)
}

// attempt describes the current attempt, the time of the next one and the last failure.
// It is empty while the first attempt runs.
func (v *view) attempt(p orchestrator.Progress) (s notice) {
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
		return notice{}
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

// cli returns the command that lists the same files; empty if the command lacks a filter.
func (p filesPage) cli() string {
	if p.query.search != "" || p.query.kind != "" || p.query.step != "" {
		return ""
	}
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
	return strings.Join(words, " ")
}

// inUTC returns a form field's time in RFC 3339.
func inUTC(field string) string {
	if field == "" {
		return ""
	}
	return field + ":00Z"
}

// curl returns the API request that lists the same files.
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
