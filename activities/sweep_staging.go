package activities

import (
	"context"
	"fmt"
	"time"

	"stevedore/internal/ingest"
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
