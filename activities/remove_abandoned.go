package activities

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
)

// SweepInput sets the minimum age of the data to remove: the owner of younger data may not
// be recorded yet.
type SweepInput struct {
	Age time.Duration `json:"age"`
}

// SweepResult is the result of a sweep.
type SweepResult struct {
	Removed  int64    `json:"removed"`
	Findings []string `json:"findings,omitempty"`
}

// note adds a finding, up to MaxFindings.
func (r *SweepResult) note(format string, args ...any) {
	if len(r.Findings) < ingest.MaxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// abandoned reports whether the data of the file can be removed because it has ended.
// Data of an unknown file is kept and reported: an older backup of the ledger may have
// been restored, and the data may be the only copy.
func (a *Activities) abandoned(ctx context.Context, fileUUID string) (gone, unknown bool, err error) {
	file, err := a.Ledger.File(ctx, fileUUID)
	if ingest.IsKind(err, ingest.KindMissing) {
		return false, true, nil
	}
	return err == nil && file.Status.Terminal(), false, err
}

// SweepStaging removes the staged data of ended files from this host, and records the
// host's heartbeat.
func (a *Activities) SweepStaging(ctx context.Context, in SweepInput) (result SweepResult, err error) {
	if err := a.Reconciliation.RecordHeartbeat(ctx, a.Staging.HostID()); err != nil {
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
				result.note("staging of %s holds file %s, which was missing in the ledger and has an open workflow: recorded again", a.Staging.HostID(), h.FileUUID)
				continue
			}
			result.note("staging of %s holds file %s, which is not in the ledger: kept; remove it unless an older backup of the ledger was restored", a.Staging.HostID(), h.FileUUID)
		}
		if !gone {
			continue
		}
		if err := a.Staging.Discard(h.FileUUID); err != nil {
			return result, err
		}
		result.Removed++
		result.note("removed staged file %s of %s, unchanged for %s", h.FileUUID, a.Staging.HostID(), h.Age.Round(time.Second))
	}
	return result, nil
}

// SweepUploads aborts multipart uploads of ended files. It ignores keys of other
// applications.
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
			result.note("the unfinished upload of %s belongs to a file that is not in the ledger: kept; abort it unless an older backup of the ledger was restored", upload.Key)
		}
		if err != nil || !gone {
			return err
		}
		if err := a.Objects.Abort(ctx, upload); err != nil {
			return err
		}
		result.Removed++
		result.note("upload of %s was unfinished for %s: aborted", upload.Key, upload.Age.Round(time.Second))
		return nil
	})
	return result, err
}

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

// ListHostsInput sets the maximum age of a host's heartbeat.
type ListHostsInput struct {
	Within time.Duration `json:"within"`
}

// ListHostsResult has the task queues of the hosts.
type ListHostsResult struct {
	Queues []string `json:"queues,omitempty"`
}

// ListHosts returns the queues of the workers with a heartbeat within the time.
func (a *Activities) ListHosts(ctx context.Context, in ListHostsInput) (ListHostsResult, error) {
	hosts, err := a.Reconciliation.Hosts(ctx, in.Within)
	var result ListHostsResult
	for _, id := range hosts {
		result.Queues = append(result.Queues, temporalnames.HostQueue(id))
	}
	return result, applicationError(err)
}

// RecordReconciliation logs the findings of a run and records its result.
func (a *Activities) RecordReconciliation(ctx context.Context, in ingest.Reconciliation) error {
	for _, finding := range in.Findings {
		a.Log.WarnContext(ctx, "reconciliation", "finding", finding)
	}
	return applicationError(a.Reconciliation.RecordReconciliation(ctx, in))
}
