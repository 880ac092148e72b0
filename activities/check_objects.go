package activities

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// CheckObjectsInput selects the files whose objects are checked.
type CheckObjectsInput struct {
	// Within is the maximum time since their completion.
	Within time.Duration `json:"within"`
}

// CheckObjectsResult counts completed files without an intact object.
type CheckObjectsResult struct {
	Missing  int64    `json:"missing"`
	Findings []string `json:"findings,omitempty"`
}

// objectChecks bounds concurrent requests to the object store; objectPage is the page
// size in rows.
const (
	objectChecks = 8
	objectPage   = 500
)

// CheckObjects checks that the objects of recently completed files exist with their size.
// It reports missing ones and repairs nothing, because they may have been removed on
// purpose. The audit checks older files.
func (a *Activities) CheckObjects(ctx context.Context, in CheckObjectsInput) (result CheckObjectsResult, err error) {
	ctx, report, stop := a.watch(ctx, 0)
	defer func() { err = applicationError(stop(err)) }()
	for after := int64(0); ; {
		files, err := a.Reconciliation.CompletedWithin(ctx, in.Within, after, objectPage)
		if err != nil || len(files) == 0 {
			return result, err
		}
		after = files[len(files)-1].ID
		report(after)
		why, err := a.checkObjectPage(ctx, files)
		if err != nil {
			return result, err
		}
		for i, reason := range why {
			if reason == "" {
				continue
			}
			result.Missing++
			if len(result.Findings) < ingest.MaxFindings {
				result.Findings = append(result.Findings, files[i].ServerName+":"+ingest.DisplayPath(files[i].RemotePath)+": "+reason)
			}
		}
	}
}

// checkObjectPage returns for each file the problem with its object; empty if none.
func (a *Activities) checkObjectPage(ctx context.Context, files []ingest.File) ([]string, error) {
	why := make([]string, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(objectChecks)
	for i, file := range files {
		group.Go(func() error {
			object, found, err := a.Objects.Head(ctx, file.Bucket, file.ObjectKey)
			switch {
			case err != nil:
				return err
			case !found:
				why[i] = "object " + file.ObjectKey + " is missing"
			case object.Size != file.Size:
				why[i] = fmt.Sprintf("object %s has %d bytes, not %d", file.ObjectKey, object.Size, file.Size)
			}
			return nil
		})
	}
	return why, group.Wait()
}
