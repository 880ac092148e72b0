package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

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
