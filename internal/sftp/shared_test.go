package sftp_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
)

// register is a Connections that several pools share, as processes share the ledger.
type register struct {
	mu      sync.Mutex
	last    int
	held    map[string]string
	learned []int
	holds   []time.Duration
	// full is called when a place was refused.
	full func()
}

func (r *register) OpenConnection(_ context.Context, _ ingest.Server, holder string, most int) (string, []string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var holders []string
	for _, other := range r.held {
		holders = append(holders, other)
	}
	if most > 0 && len(holders) >= most {
		if r.full != nil {
			r.full()
		}
		return "", holders, nil
	}
	if r.held == nil {
		r.held = map[string]string{}
	}
	r.last++
	id := fmt.Sprint(r.last)
	r.held[id] = holder
	return id, holders, nil
}

func (r *register) ConfirmConnection(context.Context, ingest.Server, string, string) error {
	return nil
}

func (r *register) CloseConnection(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, id)
	return nil
}

func (r *register) LearnConnections(_ context.Context, _ string, most int, holds time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learned, r.holds = append(r.learned, most), append(r.holds, holds)
	return nil
}

func (r *register) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held)
}

// TestProcessesShareWhatAServerBears: a second process waits for the only connection
// and says who has it; the server never sees one too many.
func TestProcessesShareWhatAServerBears(t *testing.T) {
	t.Parallel()
	l := &limited{most: 1}
	server := l.server(t)
	places := &register{}
	creds := secrets{Password: []byte("pw")}
	worker := newPool(t, sftp.Config{Connections: places, Holder: "the worker", IdleTimeout: time.Millisecond}, creds)
	person := newPool(t, sftp.Config{Connections: places, Holder: "a test", ConnectionWait: 10 * time.Millisecond}, creds)
	busy := open(t, worker, server)
	open(t, worker, server) // shares it
	for range 2 {
		_, err := person.Open(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "all 1 connection(s)", "the worker", "--max-connections")
		_, err = person.Probe(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "all 1 connection(s)", "the worker", "--max-connections")
	}
	assert.EqualValues(t, 1, l.logins.Load())
	assert.Zero(t, l.refused.Load())
	assert.Empty(t, places.learned)

	// A patient one gets it when the worker's work has ended.
	waiting := make(chan struct{})
	places.full = sync.OnceFunc(func() { close(waiting) })
	patient := newPool(t, sftp.Config{Connections: places, ConnectionWait: time.Minute}, creds)
	opened := make(chan error, 1)
	go func() {
		session, err := patient.Open(context.Background(), server)
		if err == nil {
			err = session.Close()
		}
		opened <- err
	}()
	select {
	case <-waiting:
	case <-deadline(t).Done():
		require.Fail(t, "it does not wait")
	}
	require.NoError(t, busy.Close())
	require.NoError(t, worker.Close())
	require.NoError(t, <-opened)
	assert.Zero(t, l.refused.Load())
	require.NoError(t, patient.Close())
	require.Zero(t, places.count(), "every place is given back")
}

// TestALearnedLimitIsForAllProcesses: one refusal teaches it, also when another
// process has the connections, and it is kept to as the ledger has it.
func TestALearnedLimitIsForAllProcesses(t *testing.T) {
	t.Parallel()
	l := &limited{most: 1}
	server := l.server(t)
	server.MaxParallel = 8
	places := &register{}
	creds := secrets{Password: []byte("pw")}
	cfg := sftp.Config{Connections: places, Holder: "the worker", ConnectionWait: time.Millisecond}
	first, second := newPool(t, cfg, creds), newPool(t, cfg, creds)
	open(t, first, server)
	_, err := second.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "all 1 connection(s)", "the worker")
	assert.Equal(t, []int{1}, places.learned)
	assert.Equal(t, []time.Duration{time.Hour}, places.holds)
	server.ConnectionLimit = 1 // as the ledger has it now
	for range 3 {
		open(t, first, server)
	}
	third := newPool(t, cfg, creds) // a worker that was started since
	_, err = third.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "all 1 connection(s)")
	assert.EqualValues(t, 1, l.refused.Load())
}

// TestFullServersAreNotToBlame: a place is given back by every connection that fails,
// and a broken line teaches a second process nothing.
func TestFullServersAreNotToBlame(t *testing.T) {
	t.Parallel()
	places := &register{}
	server := serveRaw(t, after((*rawSSH).secure))
	server.MaxParallel = 8
	_, _, err := places.OpenConnection(t.Context(), server, "the worker", 0)
	require.NoError(t, err)
	pool := newPool(t, sftp.Config{Connections: places, HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw")})
	_, err = pool.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "closed the connection during the handshake")
	_, err = pool.Probe(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "closed the connection during the handshake")
	assert.Equal(t, 1, places.count())
	assert.Empty(t, places.learned)
}

// stating is a server that states limits, or answers otherwise, and counts what is
// opened.
func stating(t *testing.T, opened *atomic.Int32, body ...any) ingest.Server {
	t.Helper()
	return fakeSSH(t, password(), hostile{
		fxpInit:  func() answer { return answer{fxpVersion, join("limits@openssh.com", "1")} },
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)),
		fxpOpen: func() answer { opened.Add(1); return answer{fxpHandle, join("h")} },
		200:     func() answer { return answer{201, join(body...)} },
	}.serve)
}

// TestStatedLimits: limits are asked for, shown and kept to; one who offers to state
// them and does not is used without.
func TestStatedLimits(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	creds := secrets{Password: []byte("pw")}
	server := stating(t, &opened, uint64(100), uint64(64), uint64(32), uint64(3))
	pool := newPool(t, sftp.Config{}, creds)
	got, _ := pool.Probe(deadline(t), server)
	assert.Equal(t, &sftp.Limits{MaxPacket: 100, MaxRead: 64, MaxWrite: 32, MaxHandles: 3}, got.Limits)
	session := open(t, pool, server)
	f, err := session.OpenFile(deadline(t), "/in/f")
	require.NoError(t, err)
	second := make(chan error, 1)
	go func() {
		other, err := session.OpenFile(context.Background(), "/in/f")
		if err == nil {
			err = other.Close()
		}
		second <- err
	}()
	require.Eventually(t, func() bool { return waitingIn("(*conn).acquireHandle") == 1 }, time.Minute, 5*time.Millisecond)
	assert.EqualValues(t, 1, opened.Load(), "two of three handles are kept for folders")
	require.NoError(t, f.Close())
	require.NoError(t, <-second)
	assert.EqualValues(t, 2, opened.Load())

	got, _ = newPool(t, sftp.Config{}, creds).Probe(deadline(t), stating(t, &opened, uint32(1)))
	assert.Nil(t, got.Limits)
	assert.Contains(t, got.Extensions, "limits@openssh.com")
}
