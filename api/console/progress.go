package console

import (
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
