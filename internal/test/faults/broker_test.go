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

// notificationMark is a text in the published message.
const notificationMark = "stevedore.file.completed"

// TestFault52_BrokerDown has more files than the server has slots. All of them are stored
// while the broker is down, and notified afterwards.
func TestFault52_BrokerDown(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	brokerDown(t, h, 1)
}

// TestFault52_BrokerDownTenMinutes stops the broker until all backoffs have reached their
// maximum.
func TestFault52_BrokerDownTenMinutes(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.SetTimeout(25 * time.Minute)
	began := time.Now()
	brokerDown(t, h, 15) // 1 s, 2 s, 4 s ... and then a minute each
	assert.Greater(t, time.Since(began), 9*time.Minute)
}

func brokerDown(t *testing.T, h *sandbox.Cluster, attempts int32) {
	proxy := brokerProxy(t, h)
	proxy.Cut()
	scan, paths := waitForBroker(t, h, "cannot be reached", attempts)
	assert.Zero(t, queued(t, h))
	proxy.Restore(t)
	for _, path := range paths {
		h.AwaitIngest(t, h.Completed(t, path).UUID)
	}
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
}

// waitForBroker ingests more files than their server has slots, and waits until all are
// stored and their notification was tried attempts times. The ledger contains the reason
// of the failure.
func waitForBroker(t *testing.T, h *sandbox.Cluster, reason string, attempts int32) (scan workflows.ScanSummary, paths []string) {
	t.Helper()
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.MaxParallel = 2 })
	for n := range 6 {
		name := fmt.Sprintf("%d.bin", n)
		acme.Write(t, name, sandbox.Random(10_000+n))
		paths = append(paths, acme.Path(name))
	}
	h.StartWorker(t)
	scan = h.Scan(t)
	for _, path := range paths {
		// On a slow machine there may be another reason first.
		waiting := h.File(t, path, func(f ingest.File) bool {
			return f.Status == ingest.StatusUploaded && strings.Contains(f.ErrorMessage, reason)
		})
		sandbox.Eventually(t, func() bool { attempt, _ := runningStep(t, h, waiting.UUID); return attempt >= attempts },
			time.Duration(attempts)*sandbox.Timeout, tick)
		requireRetryRecorded(t, h, waiting.UUID, "")
	}
	return scan, paths
}

// TestFault53_BrokerAlarm raises the alarms of a node that lacks memory or disk. Files
// are still stored, and notifications wait without accumulating messages.
func TestFault53_BrokerAlarm(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	for _, alarm := range []struct{ of, raise, clear string }{
		{"memory", "set_vm_memory_high_watermark absolute 1", "set_vm_memory_high_watermark 0.8"},
		{"disk", "set_disk_free_limit 100000GB", "set_disk_free_limit 1MB"},
	} {
		t.Run(alarm.of, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			broker := newOwnBroker(t, h)
			broker.control(t, strings.Fields(alarm.raise)...)
			scan, paths := waitForBroker(t, h, "broker blocked: low on "+alarm.of, 3)
			assert.Zero(t, queued(t, h))
			broker.control(t, strings.Fields(alarm.clear)...)
			for _, path := range paths {
				h.AwaitIngest(t, h.Completed(t, path).UUID)
			}
			h.AwaitScans(t, scan)
			h.RequireExactlyOnce(t)
		})
	}
}

// TestFault54_AckLost cuts the connection after the broker has received the message and
// before the confirmation arrives.
func TestFault54_AckLost(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy, dsn := newCuttingBrokerProxy(t, h, func(n int32) cutPosition {
		if n == 1 {
			return cutAfter
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	file := ingestOne(t, h, 1000)
	assert.EqualValues(t, 1, proxy.cuts.Load())
	assert.Equal(t, 2, queued(t, h), "the queue has the message twice")
	requireRetryRecorded(t, h, file.UUID, "with the same message id")
	h.RequireExactlyOnce(t)
}

// TestFault55_QueueDeleted deletes the queue before the notification and declares it
// again after the returned messages were detected.
func TestFault55_QueueDeleted(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.AMQP.Delete(t)
	waiting := awaitHeld(t, h)
	assert.Contains(t, waiting.ErrorMessage, "declare queue "+h.AMQP.Queue)
	h.AMQP.Declare(t)
	h.AwaitIngest(t, waiting.UUID)
	requireRetryRecorded(t, h, waiting.UUID, "no queue receives notifications")
	h.RequireExactlyOnce(t)
}

// TestFault55_BindingDeleted has an exchange that accepts messages and routes them to no
// queue.
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
	h.AwaitIngest(t, waiting.UUID)
	requireRetryRecorded(t, h, waiting.UUID, "no queue receives notifications")
	h.RequireExactlyOnce(t)
}

// TestFault56_RestartBeforeConfirm repeatedly cuts the connection before the broker has
// received the message.
func TestFault56_RestartBeforeConfirm(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	proxy, dsn := newCuttingBrokerProxy(t, h, func(n int32) cutPosition {
		if n <= 3 {
			return cutBefore
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	file := ingestOne(t, h, 1000)
	assert.EqualValues(t, 3, proxy.cuts.Load())
	assert.Equal(t, 1, queued(t, h))
	requireRetryRecorded(t, h, file.UUID, "with the same message id")
	h.RequireExactlyOnce(t)
}

// TestFault56_BrokerKilledBeforeConfirm freezes a node, lets a worker publish to it,
// kills it and starts it again.
func TestFault56_BrokerKilledBeforeConfirm(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	broker := newOwnBroker(t, h)
	published := make(chan struct{})
	_, dsn := newCuttingProxy(t, h.AMQP.URL, notificationMark, func(n int32) cutPosition {
		if n == 2 {
			close(published)
		}
		return pass
	})
	h.Cfg.AMQP.URL = config.URL(dsn)
	first, second := make(chan struct{}), false
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	h.StartWorkerWith(t, h.Cfg, hooks{beforePublish: func() {
		select {
		case <-first: // the present connection is used up
			if !second {
				second = true
				broker.signal(syscall.SIGSTOP)
			}
		default:
		}
	}}.wrap)
	h.ScanAndWait(t)
	h.Completed(t, acme.Path("a.bin"))
	close(first)
	acme.Write(t, "b.bin", sandbox.Random(2000))
	scan := h.Scan(t)
	await(t, published, "nothing was published to the frozen broker")
	broker.kill()
	broker.start(t)
	broker.openChannel(t, h)
	file := h.Completed(t, acme.Path("b.bin"))
	h.AwaitScans(t, scan)
	requireRetryRecorded(t, h, file.UUID, "the broker at")
	h.RequireExactlyOnce(t)
}

// awaitHeld ingests a file and waits until it is stored and its notification was refused
// three times.
func awaitHeld(t *testing.T, h *sandbox.Cluster) ingest.File {
	t.Helper()
	acme := h.AddServer(t, "acme", nil)
	acme.Write(t, "a.bin", sandbox.Random(1000))
	h.StartWorker(t)
	h.Scan(t)
	return h.File(t, acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, _ := runningStep(t, h, f.UUID)
		return f.Status == ingest.StatusUploaded && attempt >= 3 && f.ErrorKind == ingest.KindMissing
	})
}

// brokerProxy puts a proxy before the broker, for workers in this process.
func brokerProxy(t *testing.T, h *sandbox.Cluster) *sandbox.Proxy {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	proxy := sandbox.NewProxy(t, u.Hostname(), port)
	u.Host = proxy.Address()
	h.Cfg.AMQP.URL = config.URL(u.String())
	return proxy
}
