package admin

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// Progress is how the step that a file is at stands, as Temporal knows it.
type Progress struct {
	Step ingest.Step
	// Attempt is the try under way, or the one that comes next; from 1.
	Attempt int
	// Running says that a worker is at it now.
	Running bool
	// Paused says that an operator has paused the step in Temporal.
	Paused bool
	// NextTry is when the next try begins; zero while one runs or waits for a
	// worker.
	NextTry time.Time
	// Failure is why the try before failed, as one line; may be empty.
	Failure string
	// Done and Total are in bytes, Rate in bytes per second; 0 when unknown.
	Done, Total int64
	Rate        float64
	// Host is the task queue of the worker that holds the bytes; may be empty.
	Host string
}

// ETA is how long the rest takes at the present rate; 0 when unknown.
func (p Progress) ETA() time.Duration {
	if p.Rate <= 0 || p.Total <= p.Done {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second)).Round(time.Second)
}

const (
	// progressTimeout bounds what a page waits for Temporal: without an answer
	// it shows what the ledger knows.
	progressTimeout = 2 * time.Second
	// progressAtOnce bounds the questions under way.
	progressAtOnce = 16
)

// Progress returns how the files' steps stand, by uuid. Files that are not
// under way, and those that Temporal does not tell about in time, are left out.
func (a *Admin) Progress(ctx context.Context, files []ingest.File) map[string]Progress {
	ctx, cancel := context.WithTimeout(ctx, progressTimeout)
	defer cancel()
	answers := make([]*Progress, len(files))
	var group errgroup.Group
	group.SetLimit(progressAtOnce)
	for i, file := range files {
		if !file.Status.InFlight() {
			continue
		}
		if file.Status == ingest.StatusReady && file.Deferrals > 0 {
			answers[i] = putOff(file)
			continue
		}
		group.Go(func() error {
			if progress, known, err := a.d.Engine.IngestProgress(ctx, file.UUID); err == nil && known {
				answers[i] = &progress
			}
			return nil
		})
	}
	_ = group.Wait() // none of them fails
	found := map[string]Progress{}
	for i, answer := range answers {
		if answer != nil {
			found[files[i].UUID] = *answer
		}
	}
	return found
}

// putOff is how a file stands that waits for its next round: no workflow is at
// it meanwhile.
func putOff(file ingest.File) *Progress {
	return &Progress{
		Step: cmp.Or(file.ErrorStep, ingest.StepDownload), Attempt: file.Deferrals*ingest.RoundAttempts + 1, NextTry: file.NotBefore,
		Failure: file.ErrorMessage, Total: file.Size,
	}
}
