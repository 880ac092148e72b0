package sftp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
)

// connRegistry is a Connections in memory that several pools share.
type connRegistry struct {
	mu      sync.Mutex
	last    int
	held    map[string]string
	learned []int
	// limits are the limits of the acquired leases.
	limits []int
	holds  []time.Duration
	// full is called when a connection was refused, released when a lease was released.
	full, released func()
}

func (r *connRegistry) OpenConnection(_ context.Context, _ ingest.Server, holder string, most int) (string, []string, error) {
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
	r.limits = append(r.limits, most)
	return id, holders, nil
}

func (r *connRegistry) RenewConnections(_ context.Context, ids []string) (map[string]int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limits := map[string]int{}
	for _, id := range ids {
		limits[id] = 0
		if len(r.learned) > 0 {
			limits[id] = r.learned[len(r.learned)-1]
		}
	}
	return limits, nil
}

func (r *connRegistry) CloseConnection(_ context.Context, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.held, id)
	if r.released != nil {
		r.released()
	}
	return nil
}

func (r *connRegistry) RecordConnectionLimit(_ context.Context, _ string, most int, holds time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learned, r.holds = append(r.learned, most), append(r.holds, holds)
	return nil
}

func (r *connRegistry) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held)
}

// TestProcessesShareConnectionLimit checks that a second process waits for the only
// connection, that its error names the holder, and that the server never gets too many.
func TestProcessesShareConnectionLimit(t *testing.T) {
	t.Parallel()
	l := &limitedServer{most: 1}
	server := l.server(t)
	registry := &connRegistry{}
	creds := secrets{Password: []byte("pw")}
	worker := newPool(t, sftp.Config{Connections: registry, Holder: "the worker", IdleTimeout: time.Millisecond}, creds)
	tester := newPool(t, sftp.Config{Connections: registry, Holder: "a test", ConnectionWait: 10 * time.Millisecond}, creds)
	busy := open(t, worker, server)
	open(t, worker, server) // shares the connection
	for range 2 {
		_, err := tester.Open(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "1 connection in use", "the worker", "retry when transfers and listings have ended")
		require.NotContains(t, err.Error(), "--max-connections", "the limit is automatic")
		_, err = tester.Probe(deadline(t), server)
		requireKind(t, err, ingest.KindTransient, "1 connection in use", "the worker", "retry when transfers and listings have ended")
		require.NotContains(t, err.Error(), "--max-connections", "the limit is automatic")
	}
	limited := server
	limited.MaxConnections = 1
	_, err := tester.Probe(deadline(t), limited)
	requireKind(t, err, ingest.KindTransient, "1 connection in use", "--max-connections")
	assert.EqualValues(t, 1, l.logins.Load())
	assert.Zero(t, l.refused.Load())
	assert.Empty(t, registry.learned)

	// A process that waits gets the connection when the worker has closed it.
	waiting := make(chan struct{})
	registry.full = sync.OnceFunc(func() { close(waiting) })
	patient := newPool(t, sftp.Config{Connections: registry, ConnectionWait: time.Minute}, creds)
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
		require.Fail(t, "it does not wait for a connection")
	}
	require.NoError(t, busy.Close())
	require.NoError(t, worker.Close())
	require.NoError(t, <-opened)
	assert.Zero(t, l.refused.Load())
	require.NoError(t, patient.Close())
	require.Zero(t, registry.count(), "every lease is released")
}

// TestIdleConnectionsMakeRoom checks that a process that meets an unknown connection limit waits
// for the idle connection of another process, which closes it soon.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(p *sftp.Pool, server ingest.Server) error{
		"session": func(p *sftp.Pool, server ingest.Server) error {
			session, err := p.Open(deadline(t), server)
			if err == nil {
				err = session.Close()
			}
			return err
		},
		"probe": func(p *sftp.Pool, server ingest.Server) error {
			result, err := p.Probe(deadline(t), server)
			if result.LoginOK { // there is no root folder
				return nil
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most = 3
			l := &limitedServer{most: most}
			server := l.server(t)
			server.MaxParallel = most - 1
			registry := &connRegistry{}
			creds := secrets{Password: []byte("pw")}
			worker := newPool(t, sftp.Config{Connections: registry, Holder: "the worker", IdleTimeout: time.Hour}, creds)
			var sessions []*sftp.Session
			for range most {
				sessions = append(sessions, open(t, worker, server))
			}
			for _, session := range sessions {
				require.NoError(t, session.Close())
			}
			other := newPool(t, sftp.Config{Connections: registry, Holder: "an audit", ConnectionWait: time.Minute}, creds)
			require.NoError(t, use(other, server))
			assert.EqualValues(t, 1, l.refused.Load())
			assert.Equal(t, []int{most}, registry.learned)
		})
	}
}

// pausing is a budget that sends no password after one that was not answered.
type pausing struct {
	*fakeBudget
}

func (b pausing) CheckPassword(context.Context, ingest.Server) error {
	if b.results()[ingest.LoginUnanswered] > 0 {
		return ingest.Errorf(ingest.KindTransient, "the connection broke 1 time in a row after the password was sent")
	}
	return nil
}

// TestALimitShownAfterThePassword checks that a server that ends the login because of its
// connection limit is called busy, although the next password has to wait.
func TestALimitShownAfterThePassword(t *testing.T) {
	t.Parallel()
	server := serveRaw(t, sequence((*rawSSH).handshake, func(r *rawSSH) error {
		if err := r.awaitMethod("none"); err != nil {
			return err
		}
		if err := r.refuse("password", false); err != nil {
			return err
		}
		if err := r.awaitMethod("password"); err != nil {
			return err
		}
		return r.send([]byte{msgDisconnect}, uint32(12), "too many connections", "")
	}))
	server.MaxParallel = 8
	for name, use := range map[string]func(p *sftp.Pool) error{
		"session": func(p *sftp.Pool) error { _, err := p.Open(deadline(t), server); return err },
		"probe":   func(p *sftp.Pool) error { _, err := p.Probe(deadline(t), server); return err },
	} {
		t.Run(name, func(t *testing.T) {
			registry, budget := &connRegistry{}, pausing{&fakeBudget{}}
			_, _, err := registry.OpenConnection(t.Context(), server, "the worker", 0)
			require.NoError(t, err)
			pool := newPool(t, sftp.Config{Connections: registry, ConnectionWait: 10 * time.Millisecond, Passwords: budget}, secrets{Password: []byte("pw")})
			requireKind(t, use(pool), ingest.KindTransient, "no free connection", "the worker")
			assert.Equal(t, []int{1}, registry.learned)
			assert.Equal(t, map[ingest.LoginResult]int{ingest.LoginUnanswered: 1}, budget.results())
		})
	}
}

// TestLeasesOutliveConnections checks that the lease of an unused connection is released when
// the server has closed it: until then the server counts the login.
func TestLeasesOutliveConnections(t *testing.T) {
	t.Parallel()
	server := fakeSSH(t, password(), hostile{}.serve)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	target := net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
	server.Port = listener.Addr().(*net.TCPAddr).Port
	var connected, early atomic.Int32
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			connected.Add(1)
			go func() { _, _ = io.Copy(client, upstream) }()
			_, _ = io.Copy(upstream, client)
			connected.Add(-1)
			_, _ = client.Close(), upstream.Close()
		}
	}()
	registry := &connRegistry{released: func() { early.Add(connected.Load()) }}
	for range 10 {
		pool := newPool(t, sftp.Config{Connections: registry}, secrets{Password: []byte("pw")})
		session, err := pool.Open(deadline(t), server)
		require.NoError(t, err)
		require.NoError(t, session.Close())
		require.NoError(t, pool.Close())
		_, _ = pool.Probe(deadline(t), server)
	}
	assert.Zero(t, early.Load())
}

// TestLearnedLimitAppliesToAllProcesses checks that one refusal is enough to learn the
// limit, even if another process has the connections, and that ConnectionLimit applies it.
func TestLearnedLimitAppliesToAllProcesses(t *testing.T) {
	t.Parallel()
	l := &limitedServer{most: 1}
	server := l.server(t)
	server.MaxParallel = 8
	registry := &connRegistry{}
	creds := secrets{Password: []byte("pw")}
	cfg := sftp.Config{Connections: registry, Holder: "the worker", ConnectionWait: time.Millisecond}
	first, second := newPool(t, cfg, creds), newPool(t, cfg, creds)
	open(t, first, server)
	_, err := second.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "1 connection in use", "the worker")
	assert.Equal(t, []int{1}, registry.learned)
	assert.Equal(t, []time.Duration{time.Hour}, registry.holds)
	server.ConnectionLimit = 1 // as recorded in the ledger
	for range 3 {
		open(t, first, server)
	}
	third := newPool(t, cfg, creds) // a worker started later
	_, err = third.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "1 connection in use")
	assert.EqualValues(t, 1, l.refused.Load())
}

// TestALearnedLimitAboveTheOwnSessionsApplies: other processes have connections too.
func TestALearnedLimitAboveTheOwnSessionsApplies(t *testing.T) {
	t.Parallel()
	registry := &connRegistry{}
	pool := newPool(t, sftp.Config{Connections: registry}, secrets{Password: []byte("pw")})
	server := (&limitedServer{most: 10}).server(t)
	server.MaxParallel, server.MaxConnections, server.ConnectionLimit = 4, 0, 7
	open(t, pool, server)
	assert.Equal(t, []int{7}, registry.limits)
}

// TestFailedConnectionsReleaseLeases checks that a failed connection releases its lease,
// and that a broken connection is not taken for a connection limit.
func TestFailedConnectionsReleaseLeases(t *testing.T) {
	t.Parallel()
	registry := &connRegistry{}
	server := serveRaw(t, sequence((*rawSSH).handshake))
	server.MaxParallel = 8
	_, _, err := registry.OpenConnection(t.Context(), server, "the worker", 0)
	require.NoError(t, err)
	pool := newPool(t, sftp.Config{Connections: registry, HandshakeTimeout: phaseTimeout}, secrets{Password: []byte("pw")})
	_, err = pool.Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "the handshake with")
	_, err = pool.Probe(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "the handshake with")
	assert.Equal(t, 1, registry.count())
	assert.Empty(t, registry.learned)
}

// limitsServer starts a server that replies to the limits extension with body and counts
// opened files.
func limitsServer(t *testing.T, opened *atomic.Int32, body ...any) ingest.Server {
	t.Helper()
	return fakeSSH(t, password(), hostile{
		fxpInit:  func() answer { return answer{fxpVersion, join("limits@openssh.com", "1")} },
		fxpLstat: always(fxpAttrs, file(9)), fxpFstat: always(fxpAttrs, file(9)),
		fxpOpen: func() answer { opened.Add(1); return answer{fxpHandle, join("h")} },
		200:     func() answer { return answer{201, join(body...)} },
	}.serve)
}

// TestReportedLimits checks that reported limits are shown and applied, and that a
// malformed reply means no limits.
func TestReportedLimits(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	creds := secrets{Password: []byte("pw")}
	server := limitsServer(t, &opened, uint64(100), uint64(64), uint64(32), uint64(3))
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
	require.Eventually(t, func() bool { return goroutinesIn("(*conn).acquireHandle") == 1 }, time.Minute, 5*time.Millisecond)
	assert.EqualValues(t, 1, opened.Load(), "two of three handles are reserved for folders")
	require.NoError(t, f.Close())
	require.NoError(t, <-second)
	assert.EqualValues(t, 2, opened.Load())

	got, _ = newPool(t, sftp.Config{}, creds).Probe(deadline(t), limitsServer(t, &opened, uint32(1)))
	assert.Nil(t, got.Limits)
	assert.Contains(t, got.Extensions, "limits@openssh.com")
}
