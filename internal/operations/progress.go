package operations

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

const (
	// progressTimeout bounds the time a page waits for Temporal: without an answer it shows
	// the ledger's state.
	progressTimeout = 2 * time.Second
	// progressAtOnce bounds concurrent requests to Temporal.
	progressAtOnce = 16
)

// Progress implements Files.
func (s *Service) Progress(ctx context.Context, files []ingest.File) map[string]orchestrator.Progress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	answers := make([]*orchestrator.Progress, len(files))
	var group errgroup.Group
	group.SetLimit(progressAtOnce)
	for i, file := range files {
		if !file.Status.InFlight() {
			continue
		}
		if file.Status == ingest.StatusReady && file.Deferrals > 0 {
			answers[i] = deferred(file)
			continue
		}
		group.Go(func() error {
			if progress, known, err := s.d.Orchestrator.IngestProgress(ctx, file.UUID); err == nil && known {
				answers[i] = &progress
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
	found := map[string]orchestrator.Progress{}
	for i, answer := range answers {
		if answer != nil {
			found[files[i].UUID] = *answer
		}
	}
	return found
}

// deferred returns the progress of a deferred file, which has no workflow.
func deferred(file ingest.File) *orchestrator.Progress {
	return &orchestrator.Progress{
		Step: cmp.Or(file.ErrorStep, ingest.StepDownload), Attempt: file.Deferrals*ingest.RoundAttempts + 1, NextTry: file.NotBefore,
		Failure: file.ErrorMessage, Total: file.Size,
	}
}
