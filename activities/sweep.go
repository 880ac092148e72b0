package activities

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

// SweepInput says how old debris must be before it is removed: younger things
// may belong to somebody who has not yet said so.
type SweepInput struct {
	Age time.Duration `json:"age"`
}

// SweepResult counts what was removed.
type SweepResult struct {
	Removed  int64    `json:"removed"`
	Findings []string `json:"findings,omitempty"`
}

// note keeps a finding while there is room.
func (r *SweepResult) note(format string, args ...any) {
	if len(r.Findings) < ingest.MaxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// abandoned reports whether what is kept of the file can go: it has reached its
// end. A file that the ledger does not know keeps it, and is reported: an older
// backup of the ledger may have been restored, and this may be the only copy.
func (a *Activities) abandoned(ctx context.Context, fileUUID string) (gone, unknown bool, err error) {
	file, err := a.Ledger.File(ctx, fileUUID)
	if ingest.IsKind(err, ingest.KindMissing) {
		return false, true, nil
	}
	return err == nil && file.Status.Terminal(), false, err
}

// SweepStaging removes from this host's staging what belongs to files that
// have reached their end. It also notes that the host lives.
func (a *Activities) SweepStaging(ctx context.Context, in SweepInput) (result SweepResult, err error) {
	if err := a.Debris.SeeHost(ctx, a.Staging.HostID()); err != nil {
		return result, applicationError(err)
	}
	held, err := a.Staging.List()
	if err != nil {
		return result, applicationError(err)
	}
	ctx, report, stop := a.watch(ctx, int64(len(held)))
	defer func() { err = applicationError(stop(err)) }()
	for i, h := range held {
		report(int64(i))
		if h.Age < in.Age {
			continue
		}
		gone, unknown, err := a.abandoned(ctx, h.FileUUID)
		if err != nil {
			return result, err
		}
		if unknown {
			if unknown, err = a.readoptStaged(ctx, h.FileUUID); err != nil {
				return result, err
			}
			if !unknown {
				result.note("staging of %s holds file %s, which the ledger had forgotten and a workflow still carries: it is in the ledger again", a.Staging.HostID(), h.FileUUID)
				continue
			}
			result.note("staging of %s holds file %s, which the ledger does not know: kept; remove it when no older backup of the ledger was restored", a.Staging.HostID(), h.FileUUID)
		}
		if !gone {
			continue
		}
		if err := a.Staging.Discard(h.FileUUID); err != nil {
			return result, err
		}
		result.Removed++
		result.note("staging of %s held file %s, untouched for %s: removed", a.Staging.HostID(), h.FileUUID, h.Age.Round(time.Second))
	}
	return result, nil
}

// SweepUploads ends multipart uploads of files that have reached their end.
// Keys that are not ours are left alone.
func (a *Activities) SweepUploads(ctx context.Context, in SweepInput) (result SweepResult, err error) {
	ctx, report, stop := a.watch(ctx, 0)
	defer func() { err = applicationError(stop(err)) }()
	var seen int64
	err = a.Objects.Uploads(ctx, func(upload ingest.OpenUpload) error {
		seen++
		report(seen)
		fileUUID, ours := ingest.FileOfKey(upload.Key)
		if !ours || upload.Age < in.Age {
			return nil
		}
		gone, unknown, err := a.abandoned(ctx, fileUUID)
		if unknown {
			result.note("the unfinished upload of %s is of a file that the ledger does not know: kept; abort it when no older backup of the ledger was restored", upload.Key)
		}
		if err != nil || !gone {
			return err
		}
		if err := a.Objects.Abort(ctx, upload); err != nil {
			return err
		}
		result.Removed++
		result.note("upload of %s was left unfinished for %s: ended", upload.Key, upload.Age.Round(time.Second))
		return nil
	})
	return result, err
}

// CheckObjectsInput says which files' objects are looked at.
type CheckObjectsInput struct {
	// Within is how long ago they were completed at most.
	Within time.Duration `json:"within"`
}

// CheckObjectsResult counts completed files without their object.
type CheckObjectsResult struct {
	Missing  int64    `json:"missing"`
	Findings []string `json:"findings,omitempty"`
}

// objectChecks is how many objects are asked for at the same time, and how
// many rows make a page.
const (
	objectChecks = 8
	objectPage   = 500
)

// CheckObjects looks whether the objects of lately completed files are there,
// with their size. What is missing is reported: only people can say whether it
// was taken away on purpose. Older files are for the audit.
func (a *Activities) CheckObjects(ctx context.Context, in CheckObjectsInput) (result CheckObjectsResult, err error) {
	ctx, report, stop := a.watch(ctx, 0)
	defer func() { err = applicationError(stop(err)) }()
	for after := int64(0); ; {
		files, err := a.Debris.CompletedWithin(ctx, in.Within, after, objectPage)
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

// lookAtObjects says for each file what is wrong with its object, if anything.
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
				why[i] = "its object " + file.ObjectKey + " is gone"
			case object.Size != file.Size:
				why[i] = fmt.Sprintf("its object %s has %d bytes, not %d", file.ObjectKey, object.Size, file.Size)
			}
			return nil
		})
	}
	return why, group.Wait()
}

// ListHostsInput bounds how long a host may have been silent to be known.
type ListHostsInput struct {
	Within time.Duration `json:"within"`
}

// ListHostsResult is the task queues of the hosts.
type ListHostsResult struct {
	Queues []string `json:"queues,omitempty"`
}

// ListHosts returns the queues of the workers that have been seen lately.
func (a *Activities) ListHosts(ctx context.Context, in ListHostsInput) (ListHostsResult, error) {
	hosts, err := a.Debris.Hosts(ctx, in.Within)
	var result ListHostsResult
	for _, id := range hosts {
		result.Queues = append(result.Queues, ingest.HostQueue(id))
	}
	return result, applicationError(err)
}

// RecordReconciliation writes down what a run found and did.
func (a *Activities) RecordReconciliation(ctx context.Context, in ingest.Reconciliation) error {
	for _, finding := range in.Findings {
		a.Log.WarnContext(ctx, "reconciler", "finding", finding)
	}
	return applicationError(a.Debris.RecordReconciliation(ctx, in))
}
