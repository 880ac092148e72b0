package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// maxProgress bounds the files of a screen whose progress is requested: each is a call
// to Temporal.
const maxProgress = 50

// progressOf returns the progress of the first files in flight by uuid.
func progressOf(ctx context.Context, api *client.API, files []openapi.File) map[string]openapi.Progress {
	var running []openapi.File
	for _, file := range files {
		if ingest.Status(file.Status).InFlight() && len(running) < maxProgress {
			running = append(running, file)
		}
	}
	return api.Progress(ctx, running)
}

// stands describes a file in one cell: what its step does, or why it waits.
func stands(f openapi.File, p openapi.Progress, known bool, now time.Time) string {
	switch {
	case f.SourceLeft != nil:
		return "source left: " + safe(*f.SourceLeft)
	case f.ErrorMessage != nil:
		return safe(*f.ErrorMessage)
	case f.WaitsFor != nil:
		return "waits for " + safe(*f.WaitsFor)
	case !known:
		return "-"
	}
	return strings.Join(nonEmpty(moved(p), tries(p, now)), ", ")
}

// moved returns the percentage, the rate and the remaining time of a step; empty while
// these are unknown.
func moved(p openapi.Progress) string {
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

// tries returns the number of the attempt, the time of the next one and the last error.
func tries(p openapi.Progress, now time.Time) string {
	why := ""
	if p.Failure != nil {
		why = ", because: " + safe(*p.Failure)
	}
	switch {
	case p.Paused:
		return fmt.Sprintf("attempt %d, paused in Temporal", p.Attempt) + why
	case p.NextAttemptAt != nil:
		return fmt.Sprintf("attempt %d, next try in %s", p.Attempt, max(0, p.NextAttemptAt.Sub(now).Round(time.Second))) + why
	case p.Running:
		return fmt.Sprintf("attempt %d", p.Attempt) + why
	default:
		return fmt.Sprintf("attempt %d waits for a worker", p.Attempt) + why
	}
}

func nonEmpty(texts ...string) (kept []string) {
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}
