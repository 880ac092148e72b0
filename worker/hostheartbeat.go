package worker

import (
	"context"
	"log/slog"
	"time"

	"stevedore/activities"
)

// heartbeatHost records in the ledger that this host is alive, every interval
// until ctx ends. Steps that wait for the host read that record: a saturated
// host polls no queue and must not be taken for dead. A failed heartbeat is
// logged and not retried, because the next one replaces it.
func heartbeatHost(ctx context.Context, interval time.Duration, hosts activities.Reconciliation, hostID string, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := hosts.RecordHeartbeat(ctx, hostID); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "host heartbeat failed", "host", hostID, "error", err)
		}
	}
}
