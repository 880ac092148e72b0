package sftp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

const (
	// garbageTimeout bounds one operation: several of the timeouts below, on a slow
	// machine.
	garbageTimeout = time.Minute
	// garbageHeap bounds the live heap with a dozen servers and their clients. Uncollected
	// garbage does not count: on a busy machine it depends on the scheduler.
	garbageHeap = 64 << 20
)

// TestGarbage uses servers whose replies are randomly corrupted. It checks that each
// operation ends with an error of a kind and without leaks. make fuzz uses new seeds for
// STEVEDORE_TEST_GARBAGE (a duration); STEVEDORE_TEST_SEED repeats one.
func TestGarbage(t *testing.T) { //nolint:paralleltest // it counts goroutines and memory
	before := goleak.IgnoreCurrent()
	next, limit := garbageSeeds(t)
	began, done := time.Now(), atomic.Int64{}
	highest := watchHeap(t)
	var group sync.WaitGroup
	for range 12 {
		group.Go(func() {
			for seed, more := next(); more && !t.Failed(); seed, more = next() {
				testGarbageServer(t, seed)
				done.Add(1)
			}
		})
	}
	group.Wait()
	t.Logf("garbage: %d servers in %s of %s, live heap up to %d MiB", done.Load(), time.Since(began).Round(time.Second), limit, highest()>>20)
	require.Positive(t, done.Load())
	goleak.VerifyNone(t, before)
}

// garbageSeeds returns a generator of seeds: fixed ones, the one of STEVEDORE_TEST_SEED,
// or random ones until STEVEDORE_TEST_GARBAGE has passed.
func garbageSeeds(t *testing.T) (next func() (seed uint64, more bool), limit time.Duration) {
	t.Helper()
	var n atomic.Uint64
	if text := os.Getenv("STEVEDORE_TEST_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "STEVEDORE_TEST_SEED")
		return func() (uint64, bool) { return seed, n.Add(1) == 1 }, 0
	}
	if text := os.Getenv("STEVEDORE_TEST_GARBAGE"); text != "" {
		limit, err := time.ParseDuration(text)
		require.NoError(t, err, "STEVEDORE_TEST_GARBAGE")
		over := time.Now().Add(limit)
		return func() (uint64, bool) { return rand.Uint64(), time.Now().Before(over) }, limit
	}
	return func() (uint64, bool) { seed := n.Add(1); return seed, seed <= 60 }, 0
}

// watchHeap monitors the live heap after each garbage collection. highest stops it and returns the maximum in bytes.
func watchHeap(t *testing.T) (highest func() uint64) {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan struct{})
	var top uint64
	go func() {
		defer close(ended)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		for {
			metrics.Read(live)
			if heap := live[0].Value.Uint64(); heap > top {
				if top = heap; top > garbageHeap {
					t.Errorf("the live heap has %d MiB", top>>20)
				}
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-ended
		return top
	}
}

// testGarbageServer runs all operations of a worker on a server with the seed.
func testGarbageServer(t *testing.T, seed uint64) {
	peer := services.StartGarbage(t, seed)
	peer.CorruptPercent = 2 + int(seed%40)
	pool := sftp.NewPool(sftp.Config{
		AllowNetworks: loopback(), HandshakeTimeout: 2 * time.Second, AnswerTimeout: time.Second, KeepaliveInterval: time.Second, KeepaliveMisses: 1,
		MaxEntriesPerFolder: 1000, MaxEntries: 5000,
	}, secrets{Password: []byte("p")})
	server := peer.Server(fmt.Sprint("garbage ", seed), uuid.NewString())
	g := garbageCheck{seed: seed, root: server.RootPath}
	for range 3 { // a session must not inherit a failed connection
		g.visit(t, pool, server)
	}
	g.checkErr(t, "close the pool", pool.Close())
	peer.Close()
}

// garbageCheck checks the results of operations on a garbage server.
type garbageCheck struct {
	seed uint64
	root string
}

// visit opens a session and runs all operations.
func (g garbageCheck) visit(t *testing.T, pool *sftp.Pool, server ingest.Server) {
	var session *sftp.Session
	g.run(t, "open", func(ctx context.Context) (err error) {
		session, err = pool.Open(ctx, server)
		return err
	})
	if session == nil {
		return
	}
	defer func() { _ = session.Close() }()
	g.run(t, "list", func(ctx context.Context) error {
		_, err := session.List(ctx, ingest.ListRequest{}, func(o ingest.Observation) error { return g.checkEntry(t, o) })
		return err
	})
	g.run(t, "stat", func(ctx context.Context) error {
		seen, err := session.Stat(ctx, "/in/00.csv")
		if err == nil && seen.Size < 0 {
			t.Errorf("seed %d: size %d", g.seed, seen.Size)
		}
		return err
	})
	g.run(t, "read", func(ctx context.Context) error { return g.read(ctx, t, session) })
	g.run(t, "rename", func(ctx context.Context) error { return session.Rename(ctx, "/in/02.csv", "/in/done/02.csv") })
	g.run(t, "remove", func(ctx context.Context) error { return session.Remove(ctx, "/in/04.csv") })
}

// read reads a file like a transfer.
func (g garbageCheck) read(ctx context.Context, t *testing.T, session *sftp.Session) error {
	file, err := session.OpenFile(ctx, "/in/deep/03.csv")
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	buf := make([]byte, 32<<10)
	for off := int64(0); off < 1<<20; {
		n, err := file.ReadAt(buf, off)
		if n < 0 || n > len(buf) || n < len(buf) && err == nil {
			t.Errorf("seed %d: ReadAt returned %d of %d, %v", g.seed, n, len(buf), err)
		}
		if off += int64(n); errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkEntry checks that an observation is below the root folder and bounded.
func (g garbageCheck) checkEntry(t *testing.T, o ingest.Observation) error {
	if !strings.HasPrefix(o.Path, g.root+"/") || strings.Contains(o.Path+"/", "/../") || o.Size < 0 || len(o.Path) > 64<<10 {
		t.Errorf("seed %d: seen %.300q of %d bytes", g.seed, o.Path, o.Size)
	}
	return nil
}

// run runs an operation and checks that it ends in time.
func (g garbageCheck) run(t *testing.T, what string, do func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	began := time.Now()
	hangs := time.AfterFunc(garbageTimeout, func() {
		t.Errorf("seed %d: %s hangs", g.seed, what)
		cancel()
	})
	defer hangs.Stop()
	g.checkErr(t, what, do(ctx))
	if took := time.Since(began); took > garbageTimeout/2 {
		t.Logf("seed %d: %s took %s", g.seed, what, took)
	}
}

// checkErr checks that an error has a kind, is one line, and quotes a bounded part of the
// server's bytes.
func (g garbageCheck) checkErr(t *testing.T, what string, err error) {
	var known *ingest.Error
	switch {
	case err == nil:
	case !errors.As(err, &known):
		t.Errorf("seed %d: %s: an error without a kind: %v", g.seed, what, err)
	case strings.ContainsAny(err.Error(), "\r\n\x1b") || len(err.Error()) > 4<<10:
		t.Errorf("seed %d: %s: %.500q", g.seed, what, err.Error())
	}
}
