package main

import (
	"fmt"
	"strings"
	"time"

	"stevedore/api/openapi"
)

// fileProgress describes the running step of a file, or the reason why it waits, for one
// cell of a table. p is nil without a running step.
func fileProgress(f openapi.File, p *openapi.Progress, now time.Time) string {
	switch {
	case f.SourceLeft != nil:
		return "source left: " + safe(*f.SourceLeft)
	case f.ErrorMessage != nil:
		return safe(*f.ErrorMessage)
	case f.WaitsFor != nil:
		return "waits for " + safe(*f.WaitsFor)
	case p == nil:
		return "-"
	}
	return strings.Join(nonEmpty(transferred(*p), attempt(*p, now)), ", ")
}

// transferred returns the percentage, the rate and the remaining time of a step; empty
// while these are unknown.
func transferred(p openapi.Progress) string {
	if p.TotalBytes == nil {
		return ""
	}
	done, total := value(p.DoneBytes), *p.TotalBytes
	parts := []string{fmt.Sprintf("%d%%", min(done, total)*100/total)}
	if p.BytesPerSecond != nil {
		parts = append(parts, size(int64(*p.BytesPerSecond))+"/s")
	}
	if p.EtaSeconds != nil {
		parts = append(parts, (time.Duration(*p.EtaSeconds)*time.Second).String()+" left")
	}
	return strings.Join(parts, ", ")
}

// attempt returns the number of the attempt, the time of the next one and the last error.
func attempt(p openapi.Progress, now time.Time) string {
	text := fmt.Sprintf("attempt %d", p.Attempt)
	switch {
	case p.Paused:
		text += ", paused in Temporal"
	case p.NextAttemptAt != nil:
		text += fmt.Sprintf(", next try in %s", max(0, p.NextAttemptAt.Sub(now).Round(time.Second)))
	case !p.Running:
		text += " waits for a worker"
	}
	if p.Failure != nil {
		text += ", because: " + safe(*p.Failure)
	}
	return text
}
