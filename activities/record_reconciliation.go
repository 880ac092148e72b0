package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RecordReconciliation logs the findings of a run and records its result.
func (a *Activities) RecordReconciliation(ctx context.Context, in ingest.Reconciliation) error {
	for _, finding := range in.Findings {
		a.Log.WarnContext(ctx, "reconciliation", "finding", finding)
	}
	return applicationError(a.Reconciliation.RecordReconciliation(ctx, in))
}
