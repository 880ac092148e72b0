package worker

import (
	"context"
	"log/slog"
	"time"

	"stevedore/activities"
)

// beat says in the ledger that this host lives, until ctx ends. Whoever waits
// for the host looks there: a host with its hands full polls no queue, and must
// not be taken for dead. A beat that fails is made up for by the next.
func beat(ctx context.Context, every time.Duration, hosts activities.Debris, hostID string, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := hosts.SeeHost(ctx, hostID); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "cannot say in the ledger that this worker lives", "host", hostID, "error", err)
		}
	}
}
