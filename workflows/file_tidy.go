package workflows

import (
	"go.temporal.io/sdk/workflow"

	"stevedore/activities"
)

// tidy does the after-ingest action. The file is safe by now: whatever goes
// wrong here is logged and in the ledger, and never sends the file round again.
func (f *fileIngest) tidy(ctx workflow.Context) {
	if !f.tidySource {
		return
	}
	in := activities.AfterIngestInput{FileUUID: f.in.FileUUID}
	const purpose = "delete or move the source, as its server is set"
	err := workflow.ExecuteActivity(about(withTidy(ctx, &brief), purpose), activities.NameAfterIngest, in).Get(ctx, nil)
	if err != nil && (!permanent(err) || serverLevel(err)) {
		// It may take long: others must not wait for its place meanwhile.
		f.note = "The file is safe and announced; what is left is to " + purpose + "."
		f.freeSlot(ctx)
		f.describe(ctx)
		err = f.tidyPatiently(ctx, purpose, in)
	}
	if err != nil {
		workflow.GetLogger(ctx).Error("the after-ingest action failed", "file", f.in.FileUUID, "error", err)
	}
}

// tidyPatiently does the action however long the server is away or suspended.
func (f *fileIngest) tidyPatiently(ctx workflow.Context, purpose string, in activities.AfterIngestInput) error {
	for {
		err := workflow.ExecuteActivity(about(withTidy(ctx, &tidy), purpose), activities.NameAfterIngest, in).Get(ctx, nil)
		if !serverLevel(err) {
			return err
		}
		if err := f.awaitServer(ctx); err != nil {
			return err
		}
	}
}
