package faults_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/rig"
)

// announcement is in what the client sends when it publishes.
const announcement = "stevedore.file.completed"

// TestFault52_BrokerDown has more files than the server's window: all of them
// reach the store while nobody can be told, and all are announced afterwards.
func TestFault52_BrokerDown(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	brokerDown(t, h, 1)
}

// TestFault52_BrokerDownTenMinutes is the same, long enough for all back-offs
// to have reached their end.
func TestFault52_BrokerDownTenMinutes(t *testing.T) {
	long(t)
	t.Parallel()
	h := rig.NewHarbour(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	t.Cleanup(cancel)
	h.Ctx = ctx
	began := time.Now()
	brokerDown(t, h, 15) // 1 s, 2 s, 4 s ... and then a minute each
	assert.Greater(t, time.Since(began), 9*time.Minute)
}

func brokerDown(t *testing.T, h *rig.Harbour, attempts int32) {
	const files = 6
	line := brokerLine(t, h)
	acme := h.AddServer("acme", func(s *ingest.Server) { s.MaxParallel = 2 })
	for n := range files {
		acme.Write(fmt.Sprintf("%d.bin", n), rig.Random(10_000+n))
	}
	line.Cut()
	h.StartWorker()
	scan := h.Scan()
	for n := range files {
		waiting := h.File(acme.Path(fmt.Sprintf("%d.bin", n)), func(f ingest.File) bool {
			return f.Status == ingest.StatusUploaded && f.ErrorMessage != ""
		})
		assert.Contains(t, waiting.ErrorMessage, "cannot be reached")
		require.Eventually(t, func() bool { attempt, _ := runningStep(h, waiting.UUID); return attempt >= attempts },
			time.Duration(attempts)*rig.Patience, tick)
		requireRetryOnRecord(t, h, waiting.UUID, "STEVEDORE_AMQP_URL")
	}
	assert.Zero(t, queued(t, h))
	line.Restore()
	h.AwaitScans(scan)
	for n := range files {
		h.Completed(acme.Path(fmt.Sprintf("%d.bin", n)))
	}
	h.RequireExactlyOnce()
}

// TestFault54_AckLost cuts the connection when the broker has the message and
// its confirmation is on the way.
func TestFault54_AckLost(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	wire, dsn := newWire(t, h.AMQP.URL, announcement, func(n int32) severing {
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
	h := rig.NewHarbour(t)
	h.AMQP.Delete(t)
	waiting := awaitHeld(t, h)
	assert.Contains(t, waiting.ErrorMessage, "declare queue "+h.AMQP.Queue)
	h.AMQP.Declare(t)
	h.AwaitIngest(waiting.UUID)
	requireRetryOnRecord(t, h, waiting.UUID, "no queue takes announcements")
	h.RequireExactlyOnce()
}

// TestFault55_BindingDeleted has an exchange that takes every message and
// gives it to nobody.
func TestFault55_BindingDeleted(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	exchange := "test-" + strings.ToLower(rand.Text())
	h.Cfg.AMQP.Exchange, h.Cfg.AMQP.RoutingKey = exchange, "files"
	require.NoError(t, h.AMQP.Channel.ExchangeDeclare(exchange, amqp.ExchangeTopic, false, false, false, false, nil))
	t.Cleanup(func() { assert.NoError(t, h.AMQP.Channel.ExchangeDelete(exchange, false, false)) })
	waiting := awaitHeld(t, h)
	assert.Contains(t, waiting.ErrorMessage, "bind a queue to exchange "+exchange)
	require.NoError(t, h.AMQP.Channel.QueueBind(h.AMQP.Queue, "files", exchange, false, nil))
	h.AwaitIngest(waiting.UUID)
	requireRetryOnRecord(t, h, waiting.UUID, "no queue takes announcements")
	h.RequireExactlyOnce()
}

// TestFault56_RestartBeforeConfirm ends the connection before the broker has
// the message, again and again.
func TestFault56_RestartBeforeConfirm(t *testing.T) {
	t.Parallel()
	h := rig.NewHarbour(t)
	wire, dsn := newWire(t, h.AMQP.URL, announcement, func(n int32) severing {
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

// awaitHeld sends a file on its way and waits until it is in the store and its
// announcement was refused three times.
func awaitHeld(t *testing.T, h *rig.Harbour) ingest.File {
	t.Helper()
	acme := h.AddServer("acme", nil)
	acme.Write("a.bin", rig.Random(1000))
	h.StartWorker()
	h.Scan()
	held := h.File(acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, _ := runningStep(h, f.UUID)
		return f.Status == ingest.StatusUploaded && attempt >= 3
	})
	assert.Equal(t, ingest.KindMissing, held.ErrorKind)
	return held
}

// brokerLine puts a line before the broker, which workers in this process use
// from then on.
func brokerLine(t *testing.T, h *rig.Harbour) *rig.Line {
	t.Helper()
	u, err := url.Parse(h.AMQP.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	line := rig.NewLine(t, u.Hostname(), port)
	u.Host = line.Address()
	h.Cfg.AMQP.URL = config.URL(u.String())
	return line
}
