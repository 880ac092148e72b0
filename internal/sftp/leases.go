package sftp

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// leases are the leases of a pool. One statement renews all of them.
type leases struct {
	cfg Config
	// onLimit is called with the recorded connection limit of a server with leases.
	onLimit func(serverUUID string, limit int)

	mu   sync.Mutex
	held map[*lease]struct{}
}

// lease is the right to one connection. Without an id there is no record in the ledger.
type lease struct {
	all    *leases
	server ingest.Server
	// limit bounds the server's leases, 0 does not.
	limit int
	// otherHolders are the holders of the server's other connections at acquisition.
	otherHolders []string

	// The lock of all guards these. renewed is the time before the last renewal, by this
	// process's monotonic clock: the ledger sets its own time later.
	id             string
	renewed        time.Time
	lost, released bool
	onLoss         func()
}

// errLeaseLost is the cause of the end of a login whose lease has expired.
var errLeaseLost = errors.New("its lease could not be renewed in the ledger")

// acquire waits up to wait for a lease. limit bounds the server's leases, 0 does not.
func (ls *leases) acquire(ctx context.Context, server ingest.Server, limit int, wait time.Duration) (*lease, error) {
	l := &lease{all: ls, server: server, limit: limit}
	if ls.cfg.Connections == nil {
		return l, nil
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		var opened bool
		var err error
		if opened, l.otherHolders, err = l.open(ctx); err != nil || opened {
			return l, err
		}
		if wait <= 0 {
			return l, newBusyError(server, l.otherHolders)
		}
		select {
		case <-time.After(leasePollInterval):
		case <-timeout.C:
			return l, newBusyError(server, l.otherHolders)
		case <-ctx.Done():
			return l, wrapBusy(context.Cause(ctx), server, l.otherHolders)
		}
	}
}

// open records the connection unless the others, whose holders it returns, reach the limit.
func (l *lease) open(ctx context.Context) (opened bool, others []string, err error) {
	began := time.Now()
	id, others, err := l.all.cfg.Connections.OpenConnection(ctx, l.server, l.all.cfg.Holder, l.limit)
	if err != nil || id == "" {
		return false, others, err
	}
	l.all.mu.Lock()
	released := l.released
	if !released {
		l.id, l.renewed = id, began
		l.all.held[l] = struct{}{}
	}
	l.all.mu.Unlock()
	if released {
		l.close(id)
	}
	return true, others, nil
}

// dialWith connects with the lease, which is released when the connection has ended.
func (p *Pool) dialWith(ctx context.Context, l *lease, d *dialer) (*conn, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.setOnLoss(func() { cancel(errLeaseLost) })
	c, err := d.dial(ctx)
	if err != nil {
		l.release()
		return nil, err
	}
	l.setOnLoss(c.kill)
	p.watchers.Go(func() {
		<-c.ended
		l.release()
	})
	return c, nil
}

// setOnLoss sets the function that ends the use of the connection when the lease is lost.
func (l *lease) setOnLoss(fn func()) {
	l.all.mu.Lock()
	lost := l.lost
	l.onLoss = fn
	l.all.mu.Unlock()
	if lost {
		fn()
	}
}

// lose ends the use of the connection.
func (l *lease) lose(ctx context.Context) {
	l.all.mu.Lock()
	l.lost = true
	end := l.onLoss
	delete(l.all.held, l)
	l.all.mu.Unlock()
	l.all.cfg.Log.WarnContext(ctx, "a connection ends because its lease was not renewed", "server", l.server.Name)
	if end != nil {
		end()
	}
}

// release releases the lease.
func (l *lease) release() {
	l.all.mu.Lock()
	id := l.id
	l.released = true
	delete(l.all.held, l)
	l.all.mu.Unlock()
	if id != "" {
		l.close(id)
	}
}

func (l *lease) close(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), leaseReleaseTimeout)
	defer cancel()
	if err := l.all.cfg.Connections.CloseConnection(ctx, id); err != nil { // it expires
		l.all.cfg.Log.WarnContext(ctx, "cannot record the end of a connection", "server", l.server.Name, "error", err)
	}
}

// renewUntil renews the leases until closing is closed.
func (ls *leases) renewUntil(closing <-chan struct{}) {
	tick := time.NewTicker(ingest.ConnectionRenewal)
	defer tick.Stop()
	for {
		select {
		case <-closing:
			return
		case <-tick.C:
			ls.renew()
		}
	}
}

// renew renews all leases. A lease that has expired is acquired again. If the limit does not
// allow that, or the ledger is not reachable and the lease may expire, its connection ends:
// another process may connect instead. Leases without a limit never end a connection.
func (ls *leases) renew() {
	ls.mu.Lock()
	held := make(map[string]*lease, len(ls.held))
	for l := range ls.held {
		held[l.id] = l
	}
	ls.mu.Unlock()
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseRenewTimeout)
	defer cancel()
	began := time.Now()
	limits, err := ls.cfg.Connections.RenewConnections(ctx, slices.Collect(maps.Keys(held)))
	if err != nil {
		ls.cfg.Log.WarnContext(ctx, "cannot renew the leases of connections", "connections", len(held), "error", err)
	}
	limited := map[string]int{}
	ls.mu.Lock()
	for id, limit := range limits {
		l := held[id]
		if l == nil {
			continue
		}
		if limit > 0 {
			limited[l.server.UUID] = limit
		}
		l.renewed, l.limit = began, ingest.LowerLimit(l.limit, limit)
		delete(held, id)
	}
	maps.DeleteFunc(held, func(_ string, l *lease) bool { return l.released })
	ls.mu.Unlock()
	for server, limit := range limited {
		ls.onLimit(server, limit)
	}
	for _, l := range held {
		opened := false
		if err == nil {
			opened, _, err = l.open(ctx)
		}
		if !opened && l.limit > 0 && (err == nil || time.Since(l.renewed) > maxLeaseAge) {
			l.lose(ctx)
		}
	}
}
