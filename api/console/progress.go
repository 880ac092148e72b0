package console

import (
	"strings"

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

// attempt returns the notes of a running step as one notice.
func (v *view) attempt(p orchestrator.Progress) (s notice) {
	var texts []string
	for _, note := range p.Notes(v.now) {
		one := v.note(note)
		texts, s.original = append(texts, one.text), one.original
	}
	s.text = strings.Join(texts, ", ")
	return s
}
