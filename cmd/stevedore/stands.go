package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// maxProgress bounds how many files of a screen are asked about: each is a
// question to Temporal.
const maxProgress = 50

// progressOf returns how the steps of the first files under way stand, by uuid.
func progressOf(ctx context.Context, ops operations, files []ingest.File) map[string]admin.Progress {
	var asked []ingest.File
	for _, file := range files {
		if admin.Underway(file.Status) && len(asked) < maxProgress {
			asked = append(asked, file)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	return ops.Progress(ctx, asked)
}

// stands is how a file stands in one cell: what its step does, or why it waits.
func stands(f ingest.File, p admin.Progress, known bool, now time.Time) string {
	switch {
	case f.SourceLeft != "":
		return "source left: " + safe(f.SourceLeft)
	case f.ErrorMessage != "":
		return safe(f.ErrorMessage)
	case f.Status == ingest.StatusDiscovered && f.WaitsFor != "":
		return "waits for " + safe(f.WaitsFor)
	case !known:
		return "-"
	}
	return strings.Join(nonEmpty(moved(p), tries(p, now)), ", ")
}

// moved is how far a step's bytes are, how fast and how long they will take;
// nothing while that is unknown.
func moved(p admin.Progress) string {
	if p.Total <= 0 {
		return ""
	}
	parts := []string{fmt.Sprintf("%d%%", min(p.Done, p.Total)*100/p.Total)}
	if p.Rate > 0 {
		parts = append(parts, size(int64(p.Rate))+"/s")
	}
	if eta := p.ETA(); eta > 0 {
		parts = append(parts, eta.String()+" left")
	}
	return strings.Join(parts, ", ")
}

// tries says which try this is, when the next one comes and why.
func tries(p admin.Progress, now time.Time) string {
	why := ""
	if p.Failure != "" {
		why = ", because: " + safe(p.Failure)
	}
	switch {
	case p.Paused:
		return fmt.Sprintf("attempt %d, paused in Temporal", p.Attempt) + why
	case !p.NextTry.IsZero():
		return fmt.Sprintf("attempt %d, next try in %s", p.Attempt, max(0, p.NextTry.Sub(now).Round(time.Second))) + why
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
