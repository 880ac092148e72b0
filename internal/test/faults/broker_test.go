package faults_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// announcement is in what the client sends when it publishes.
const announcement = "stevedore.file.completed"

// TestFault52_BrokerDown has more files than the server's window: all of them
// reach the store while nobody can be told, and all are announced afterwards.
func TestFault52_BrokerDown(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	brokerDown(t, h, 1)
}

// TestFault52_BrokerDownTenMinutes is the same, long enough for all back-offs
// to have reached their end.
func TestFault52_BrokerDownTenMinutes(t *testing.T) {
	long(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.SetTimeout(25 * time.Minute)
	began := time.Now()
	brokerDown(t, h, 15) // 1 s, 2 s, 4 s ... and then a minute each
	assert.Greater(t, time.Since(began), 9*time.Minute)
}

func brokerDown(t *testing.T, h *sandbox.Cluster, attempts int32) {
	line := brokerLine(t, h)
	line.Cut()
	scan, paths := waitForBroker(t, h, "cannot be reached", attempts)
	assert.Zero(t, queued(t, h))
	line.Restore()
	for _, path := range paths {
		h.AwaitIngest(h.Completed(path).UUID)
	}
	h.AwaitScans(scan)
	h.RequireExactlyOnce()
}

// waitForBroker sends more files on their way than their server's window takes
// and waits until all of them are in the store and their announcement was
// tried so many times; the ledger says why it fails.
func waitForBroker(t *testing.T, h *sandbox.Cluster, says string, attempts int32) (scan workflows.ScanSummary, paths []string) {
	t.Helper()
	acme := h.AddServer("acme", func(s *ingest.Server) { s.MaxParallel = 2 })
	for n := range 6 {
		name := fmt.Sprintf("%d.bin", n)
		acme.Write(name, sandbox.Random(10_000+n))
		paths = append(paths, acme.Path(name))
	}
	h.StartWorker()
	scan = h.Scan()
	for _, path := range paths {
		// On a slow machine another reason may come first.
		waiting := h.File(path, func(f ingest.File) bool {
			return f.Status == ingest.StatusUploaded && strings.Contains(f.ErrorMessage, says)
		})
		sandbox.Eventually(t, func() bool { attempt, _ := runningStep(h, waiting.UUID); return attempt >= attempts },
			time.Duration(attempts)*sandbox.Timeout, tick)
		requireRetryOnRecord(t, h, waiting.UUID, "")
	}
	return scan, paths
}

// TestFault53_BrokerAlarm raises the alarms of a node that has too little
// memory or disk. Files go on into the store, and what has to be announced
// waits without piling up anywhere.
func TestFault53_BrokerAlarm(t *testing.T) {
	long(t)
	t.Parallel()
	for _, alarm := range []struct{ of, raise, clear string }{
		{"memory", "set_vm_memory_high_watermark absolute 1", "set_vm_memory_high_watermark 0.8"},
		{"disk", "set_disk_free_limit 100000GB", "set_disk_free_limit 1MB"},
	} {
		t.Run(alarm.of, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			broker := newOwnBroker(t, h)
			broker.control(strings.Fields(alarm.raise)...)
			scan, paths := waitForBroker(t, h, "broker blocked: low on "+alarm.of, 3)
			assert.Zero(t, queued(t, h))
			broker.control(strings.Fields(alarm.clear)...)
			for _, path := range paths {
				h.AwaitIngest(h.Completed(path).UUID)
			}
			h.AwaitScans(scan)
			h.RequireExactlyOnce()
		})
	}
}

// TestFault54_AckLost cuts the connection when the broker has the message and
// its confirmation is on the way.
func TestFault54_AckLost(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	wire, dsn := newBrokerWire(t, h, func(n int32) severing {
		if n == 1 {
			return cutAfter
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	file := ingestOne(h, 1000)
	assert.EqualValues(t, 1, wire.cuts.Load())
	assert.Equal(t, 2, queued(t, h), "the message is there twice")
	requireRetryOnRecord(t, h, file.UUID, "with the same message id")
	h.RequireExactlyOnce()
}

// TestFault55_QueueDeleted deletes the queue before anything is announced and
// declares it again after the return of the messages was noticed.
func TestFault55_QueueDeleted(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.AMQP.Delete(t)
	waiting := awaitHeld(t, h)
	assert.Contains(t, waiting.ErrorMessage, "declare queue "+h.AMQP.Queue)
	h.AMQP.Declare(t)
	h.AwaitIngest(waiting.UUID)
	requireRetryOnRecord(t, h, waiting.UUID, "no queue receives notifications")
	h.RequireExactlyOnce()
}

// TestFault55_BindingDeleted has an exchange that takes every message and
// gives it to nobody.
func TestFault55_BindingDeleted(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	exchange := "test-" + strings.ToLower(rand.Text())
	h.Cfg.AMQP.Exchange, h.Cfg.AMQP.RoutingKey = exchange, "files"
	require.NoError(t, h.AMQP.Channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, false, false, false, false, nil))
	t.Cleanup(func() { assert.NoError(t, h.AMQP.Channel.ExchangeDelete(exchange, false, false)) })
	waiting := awaitHeld(t, h)
	assert.Contains(t, waiting.ErrorMessage, "bind a queue to exchange "+exchange)
	require.NoError(t, h.AMQP.Channel.QueueBind(h.AMQP.Queue, "files", exchange, false, nil))
	h.AwaitIngest(waiting.UUID)
	requireRetryOnRecord(t, h, waiting.UUID, "no queue receives notifications")
	h.RequireExactlyOnce()
}

// TestFault56_RestartBeforeConfirm ends the connection before the broker has
// the message, again and again.
func TestFault56_RestartBeforeConfirm(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	wire, dsn := newBrokerWire(t, h, func(n int32) severing {
		if n <= 3 {
			return cutBefore
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	file := ingestOne(h, 1000)
	assert.EqualValues(t, 3, wire.cuts.Load())
	assert.Equal(t, 1, queued(t, h))
	requireRetryOnRecord(t, h, file.UUID, "with the same message id")
	h.RequireExactlyOnce()
}

// TestFault56_BrokerKilledBeforeConfirm freezes a node, lets a worker publish
// to it, kills it and starts it again.
func TestFault56_BrokerKilledBeforeConfirm(t *testing.T) {
	long(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	broker := newOwnBroker(t, h)
	published := make(chan struct{})
	_, dsn := newWire(t, h.AMQP.URL, announcement, func(n int32) severing {
		if n == 2 {
			close(published)
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	first, second := make(chan struct{}), false
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", sandbox.Random(1000))
	h.StartWorkerWith(h.Cfg, moments{beforeAnnounce: func() {
		select {
		case <-first: // the connection stands: it was good for one
			if !second {
				second = true
				broker.signal(syscall.SIGSTOP)
			}
		default:
		}
	}}.wrap)
	h.ScanAndWait()
	h.Completed(acme.Path("a.bin"))
	close(first)
	acme.Write("b.bin", sandbox.Random(2000))
	scan := h.Scan()
	await(t, published, "nothing was published to the frozen broker")
	broker.kill()
	broker.start()
	broker.look(h)
	file := h.Completed(acme.Path("b.bin"))
	h.AwaitScans(scan)
	requireRetryOnRecord(t, h, file.UUID, "the broker at")
	h.RequireExactlyOnce()
}

// awaitHeld sends a file on its way and waits until it is in the store and its
// announcement was refused three times.
func awaitHeld(t *testing.T, h *sandbox.Cluster) ingest.File {
	t.Helper()
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", sandbox.Random(1000))
	h.StartWorker()
	h.Scan()
	return h.File(acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, _ := runningStep(h, f.UUID)
		return f.Status == ingest.StatusUploaded && attempt >= 3 && f.ErrorKind == ingest.KindMissing
	})
}

// brokerLine puts a line before the broker, which workers in this process use
// from then on.
func brokerLine(t *testing.T, h *sandbox.Cluster) *sandbox.Proxy {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	line := sandbox.NewProxy(t, u.Hostname(), port)
	u.Host = line.Address()
	h.Cfg.AMQP.URL = config.URL(u.String())
	return line
}
