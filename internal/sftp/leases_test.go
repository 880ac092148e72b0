package sftp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// leaseLedger is a Connections whose leases expire, as in the ledger.
type leaseLedger struct {
	Connections
	renewed map[string]time.Time
	last    int
	// renewals are the ids of each call of RenewConnections.
	renewals [][]string
	// failing makes all calls fail, and full refuses bounded connections. limit is the
	// recorded limit of the servers.
	failing, full bool
	limit         int
}

var errLedgerAway = errors.New("the ledger is not reachable")

func (l *leaseLedger) OpenConnection(_ context.Context, _ ingest.Server, _ string, most int) (string, []string, error) {
	switch {
	case l.failing:
		return "", nil, errLedgerAway
	case l.full && most > 0:
		return "", []string{"another worker"}, nil
	}
	l.last++
	id := fmt.Sprint(l.last)
	l.renewed[id] = time.Now()
	return id, nil, nil
}

func (l *leaseLedger) RenewConnections(ctx context.Context, ids []string) (map[string]int, error) {
	if l.failing {
		<-ctx.Done() // the slowest failure
		return nil, errLedgerAway
	}
	slices.Sort(ids)
	l.renewals = append(l.renewals, ids)
	limits := map[string]int{}
	for _, id := range ids {
		if _, there := l.renewed[id]; there {
			l.renewed[id], limits[id] = time.Now(), l.limit
		}
	}
	return limits, nil
}

func (l *leaseLedger) CloseConnection(_ context.Context, id string) error {
	delete(l.renewed, id)
	return nil
}

// leaseBundle has leases of two servers, one of them with a connection limit.
type leaseBundle struct {
	*leases
	ledger             *leaseLedger
	limited, unlimited *lease
	// end is the time of the loss of a lease, zero before.
	limitedEnd, unlimitedEnd time.Time
}

// testLeases calls fn in a bubble whose clock is not the real one.
func testLeases(t *testing.T, fn func(t *testing.T, b *leaseBundle)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ledger := &leaseLedger{renewed: map[string]time.Time{}}
		pool := NewPool(Config{Connections: ledger}, nil)
		defer pool.Close()
		b := &leaseBundle{leases: pool.leases, ledger: ledger}
		var err error
		b.limited, err = b.acquire(t.Context(), ingest.Server{Name: "few"}, 1, 0)
		require.NoError(t, err)
		b.unlimited, err = b.acquire(t.Context(), ingest.Server{Name: "many"}, 0, 0)
		require.NoError(t, err)
		b.limited.setOnLoss(func() { b.limitedEnd = time.Now() })
		b.unlimited.setOnLoss(func() { b.unlimitedEnd = time.Now() })
		fn(t, b)
	})
}

// TestOneRenewalForAllLeases checks that one statement renews all leases, and that released
// leases are not renewed.
func TestOneRenewalForAllLeases(t *testing.T) {
	t.Parallel()
	testLeases(t, func(t *testing.T, b *leaseBundle) {
		time.Sleep(2*ingest.ConnectionRenewal + time.Millisecond)
		b.limited.release()
		time.Sleep(ingest.ConnectionRenewal)
		b.unlimited.release()
		time.Sleep(ingest.ConnectionRenewal)
		assert.Equal(t, [][]string{{"1", "2"}, {"1", "2"}, {"2"}}, b.ledger.renewals)
		assert.Empty(t, b.ledger.renewed)
		assert.Zero(t, b.limitedEnd)
	})
}

// TestLeaseEndsBeforeItExpires checks that a connection of a server with a connection limit
// ends before its lease expires in the ledger, however slowly renewals fail, and that others
// continue.
func TestLeaseEndsBeforeItExpires(t *testing.T) {
	t.Parallel()
	testLeases(t, func(t *testing.T, b *leaseBundle) {
		time.Sleep(ingest.ConnectionRenewal + time.Millisecond)
		last := b.ledger.renewed["1"]
		b.ledger.failing = true
		time.Sleep(time.Minute)
		assert.WithinRange(t, b.limitedEnd, last.Add(2*ingest.ConnectionRenewal), last.Add(ingest.ConnectionExpiry))
		assert.Zero(t, b.unlimitedEnd)
		b.ledger.failing = false
		clear(b.ledger.renewed) // expired
		time.Sleep(2 * ingest.ConnectionRenewal)
		assert.Len(t, b.ledger.renewed, 1, "the connection without a limit is recorded again")
		late := false
		b.limited.setOnLoss(func() { late = true })
		assert.True(t, late, "a connection that was established meanwhile ends, too")
	})
}

// TestExpiredLease checks that an expired lease is acquired again if the limit allows it, and
// that its connection ends otherwise.
func TestExpiredLease(t *testing.T) {
	t.Parallel()
	testLeases(t, func(t *testing.T, b *leaseBundle) {
		clear(b.ledger.renewed)
		time.Sleep(ingest.ConnectionRenewal + time.Millisecond)
		assert.Len(t, b.ledger.renewed, 2)
		assert.Zero(t, b.limitedEnd)
		clear(b.ledger.renewed)
		b.ledger.full = true
		time.Sleep(ingest.ConnectionRenewal)
		assert.NotZero(t, b.limitedEnd)
		assert.Zero(t, b.unlimitedEnd)
		b.limited.release()
		b.unlimited.release()
		assert.Empty(t, b.ledger.renewed)
	})
}

// TestRecordedLimitEndsLeases checks that a limit that another process has recorded applies to
// the leases already held.
func TestRecordedLimitEndsLeases(t *testing.T) {
	t.Parallel()
	testLeases(t, func(t *testing.T, b *leaseBundle) {
		b.ledger.limit = 5
		time.Sleep(ingest.ConnectionRenewal + time.Millisecond)
		b.ledger.failing = true
		time.Sleep(time.Minute)
		assert.NotZero(t, b.unlimitedEnd)
	})
}
