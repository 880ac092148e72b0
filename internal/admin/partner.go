package admin

import (
	"context"

	"stevedore/activities"
)

// waitOnly returns those of the scan's servers, by their place, whose listing is done
// and of which all that is left waits for the partner. When the parts do not answer it
// returns none: waiting goes on.
func (a *Admin) waitOnly(ctx context.Context, run ScanRun, servers []activities.ServerRef) map[int]bool {
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return nil
	}
	waits, err := ledger.WaitForPartner(ctx, serverUUIDs(servers))
	if err != nil || len(waits) == 0 {
		return nil
	}
	scan, err := a.d.Engine.DescribeScan(ctx, run.WorkflowID)
	if err != nil {
		return nil
	}
	only := map[int]bool{}
	for i, server := range servers {
		if waits[server.UUID].Only(scan.StartedAt) {
			only[i] = true
		}
	}
	return only
}
