package amqp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"stevedore/activities"
	"stevedore/internal/amqp"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
)

var _ activities.Publisher = (*amqp.Publisher)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = 2 * time.Minute

type bundle struct {
	mq    services.AMQP
	cable *cable
	pub   *amqp.Publisher
}

func setup(t *testing.T, change ...func(*amqp.Config)) bundle {
	t.Helper()
	mq := services.Queue(t)
	broker, err := url.Parse(mq.URL)
	require.NoError(t, err)
	c := layCable(t, broker.Host)
	broker.Host = c.listener.Addr().String()
	cfg := amqp.Config{URL: broker.String(), Queue: mq.Queue, ConfirmTimeout: patience, DialTimeout: patience}
	for _, apply := range change {
		apply(&cfg)
	}
	pub, err := amqp.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, pub.Close()) })
	return bundle{mq: mq, cable: c, pub: pub}
}

func notification(path string) ingest.Notification {
	file := ingest.File{
		UUID: uuid.NewString(), ServerUUID: "0192aa00-0000-7000-8000-00000000000a", ServerName: "acme",
		RemotePath: path, Filename: path[strings.LastIndexByte(path, '/')+1:], Size: 42,
		ModTime:   time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC),
		CreatedAt: time.Date(2026, 11, 23, 11, 0, 0, 0, time.UTC),
	}
	return ingest.Notification{
		File: file, ServerName: file.ServerName,
		Object: ingest.Object{Bucket: "stevedore", Key: ingest.ObjectKey(file), Size: 42, SHA256: "00ff"},
	}
}

// take removes the next message, waiting for it.
func (b bundle) take(t *testing.T) amqp091.Delivery {
	t.Helper()
	var got amqp091.Delivery
	require.Eventually(t, func() bool {
		msg, ok, err := b.mq.Channel.Get(b.mq.Queue, true)
		require.NoError(t, err)
		got = msg
		return ok
	}, patience, 5*time.Millisecond)
	return got
}

func (b bundle) requireEmpty(t *testing.T) {
	t.Helper()
	_, ok, err := b.mq.Channel.Get(b.mq.Queue, true)
	require.NoError(t, err)
	require.False(t, ok, "the queue is empty")
}

func TestPublishDeliversOnceWithAllFields(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := notification("/out/отчёт.csv")
	receipt, err := b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
	require.Equal(t, ingest.Receipt{Queue: b.mq.Queue, MessageID: amqp.MessageID(a.File.UUID)}, receipt)

	msg := b.take(t)
	b.requireEmpty(t)
	require.Equal(t, receipt.MessageID, msg.MessageId)
	require.Equal(t, amqp091.Persistent, msg.DeliveryMode)
	require.Equal(t, "application/cloudevents+json", msg.ContentType)
	require.JSONEq(t, fmt.Sprintf(`{
		"specversion": "1.0", "id": %q, "type": "stevedore.file.completed.v1", "source": "stevedore/0192aa00-0000-7000-8000-00000000000a",
		"subject": %q, "time": "2026-11-23T11:00:00Z", "datacontenttype": "application/json",
		"data": {"file_uuid": %q, "server": "acme", "server_uuid": "0192aa00-0000-7000-8000-00000000000a",
			"path": "/out/отчёт.csv", "filename": "отчёт.csv", "bucket": "stevedore", "key": %q,
			"size_bytes": 42, "sha256": "00ff", "mtime": "2026-11-23T10:00:00Z"}}`,
		receipt.MessageID, a.Object.Key, a.File.UUID, a.Object.Key), string(msg.Body))
}

func TestHostilePathIsEscapedAndExact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	raw := "/out/\xffbad\n\u202ename"
	_, err := b.pub.Publish(t.Context(), notification(raw))
	require.NoError(t, err)
	var event struct {
		Data struct {
			Path       string `json:"path"`
			PathBase64 []byte `json:"path_base64"`
			Filename   string `json:"filename"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(b.take(t).Body, &event))
	require.Equal(t, ingest.DisplayPath(raw), event.Data.Path)
	require.Equal(t, raw, string(event.Data.PathBase64))
	require.NotContains(t, event.Data.Filename, "\n")
}

func TestDuplicateIsTheSameMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := notification("/out/a.csv")
	_, err := b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
	a.File.UpdatedAt, a.File.Round = time.Now(), 3
	_, err = b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
	first, second := b.take(t), b.take(t)
	require.Equal(t, first.MessageId, second.MessageId)
	require.Equal(t, string(first.Body), string(second.Body))
	require.NotEqual(t, first.MessageId, amqp.MessageID(uuid.NewString()))
}

func TestRenameOfTheServerKeepsIDAndSource(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := notification("/out/a.csv")
	identity := func() (e struct{ ID, Source string }) {
		_, err := b.pub.Publish(t.Context(), a)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b.take(t).Body, &e))
		require.NotEmpty(t, e.Source)
		return e
	}
	before := identity()
	a.ServerName, a.File.ServerName = "renamed", "renamed"
	require.Equal(t, before, identity())
}

func TestMessageIDNeverChanges(t *testing.T) {
	t.Parallel()
	const id = "0192aa00-0000-7000-8000-000000000001"
	require.Equal(t, "f5102201-d4b3-5d5d-ba5e-de14e92a22fc", amqp.MessageID(id))
	require.Equal(t, amqp.MessageID(id), amqp.MessageID(strings.ToUpper(id)))
}

func TestUnroutableIsNotDelivered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.pub.Ping(t.Context()))
	b.mq.Delete(t)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(b.pub.Ping(t.Context())))
	_, err := b.pub.Publish(t.Context(), notification("/out/a.csv"))
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "declare queue "+b.mq.Queue)
	require.ErrorContains(t, err, "run `stevedore setup`")

	b.mq.Declare(t)
	_, err = b.pub.Publish(t.Context(), notification("/out/a.csv"))
	require.NoError(t, err)
	b.take(t)
}

func TestExchange(t *testing.T) {
	t.Parallel()
	exchange := "test-x-" + uuid.NewString()
	b := setup(t, func(cfg *amqp.Config) { cfg.Exchange, cfg.RoutingKey = exchange, "files.done" })
	t.Cleanup(func() { _ = b.mq.Channel.ExchangeDelete(exchange, false, false) })
	a := notification("/out/a.csv")

	_, err := b.pub.Publish(t.Context(), a)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(err), "%v", err)
	require.ErrorContains(t, err, exchange)
	require.Equal(t, ingest.KindMissing, ingest.KindOf(b.pub.Ping(t.Context())))

	require.NoError(t, b.mq.Channel.ExchangeDeclare(exchange, amqp091.ExchangeDirect, true, false, false, false, nil))
	_, err = b.pub.Publish(t.Context(), a)
	require.ErrorContains(t, err, "bind a queue to exchange "+exchange)

	require.NoError(t, b.pub.EnsureTopology(t.Context()), "an exchange of another type is used unchanged")
	require.NoError(t, b.pub.EnsureTopology(t.Context()))
	receipt, err := b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
	require.Equal(t, exchange+"/files.done", receipt.Queue)
	require.Equal(t, receipt.MessageID, b.take(t).MessageId)
}

func TestEnsureTopology(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.pub.EnsureTopology(t.Context()), "the queue exists already")
	b.mq.Delete(t)
	require.NoError(t, b.pub.EnsureTopology(t.Context()))
	b.mq.Declare(t) // fails unless it is a durable quorum queue
	b.mq.Delete(t)

	_, err := b.mq.Channel.QueueDeclare(b.mq.Queue, false, false, false, false, nil)
	require.NoError(t, err)
	err = b.pub.EnsureTopology(t.Context())
	require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), "%v", err)
	require.ErrorContains(t, err, "queue "+b.mq.Queue+" exists")
	// The failed declaration must not close the publishing channel.
	_, err = b.pub.Publish(t.Context(), notification("/out/a.csv"))
	require.NoError(t, err)
}

func TestConcurrentPublish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const files = 1500
	ids := make([]string, files)
	var group sync.WaitGroup
	for i := range files {
		group.Go(func() {
			receipt, err := b.pub.Publish(context.Background(), notification(fmt.Sprintf("/out/%d.csv", i)))
			if err != nil {
				t.Errorf("file %d: %v", i, err)
			}
			ids[i] = receipt.MessageID
		})
	}
	group.Wait()
	var got []string
	for range files {
		got = append(got, b.take(t).MessageId)
	}
	require.ElementsMatch(t, ids, got)
	b.requireEmpty(t)
}

// Unroutable and routable messages on one channel are distinguished. Some results
// are unknown: RabbitMQ may close connections that write to a quorum queue while
// it is deleted.
func TestReturnsAreMatched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var group sync.WaitGroup
	stop := make(chan struct{})
	var ok, missing int
	var mu sync.Mutex
	for range 8 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := b.pub.Publish(context.Background(), notification("/out/a.csv"))
				mu.Lock()
				switch {
				case err == nil:
					ok++
				case ingest.KindOf(err) == ingest.KindMissing:
					missing++
				case ingest.KindOf(err) != ingest.KindTransient:
					t.Errorf("neither delivered nor returned nor unknown: %v", err)
				}
				mu.Unlock()
			}
		})
	}
	counts := func() (int, int) { mu.Lock(); defer mu.Unlock(); return ok, missing }
	require.Eventually(t, func() bool { n, _ := counts(); return n > 20 }, patience, time.Millisecond)
	b.mq.Delete(t)
	require.Eventually(t, func() bool { _, n := counts(); return n > 20 }, patience, time.Millisecond)
	b.mq.Declare(t)
	before, _ := counts()
	require.Eventually(t, func() bool { n, _ := counts(); return n > before+20 }, patience, time.Millisecond)
	close(stop)
	group.Wait()
}

func TestRecoversFromABrokenConnection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a := notification("/out/a.csv")
	_, err := b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
	b.cable.cut(true)
	_, err = b.pub.Publish(t.Context(), a)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err), "%v", err)
	b.cable.cut(false)
	require.Eventually(t, func() bool {
		_, err = b.pub.Publish(t.Context(), a)
		return err == nil
	}, patience, 10*time.Millisecond)
	require.Equal(t, b.take(t).MessageId, b.take(t).MessageId)
}

// With repeatedly broken connections every caller gets a result, and every
// confirmed message is in the queue.
func TestConfirmedMessagesSurviveBrokenConnections(t *testing.T) {
	t.Parallel()
	b := setup(t)
	confirmed := make(chan string, 400)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			for j := range 10 {
				a := notification(fmt.Sprintf("/out/%d-%d.csv", i, j))
				for {
					receipt, err := b.pub.Publish(context.Background(), a)
					if err == nil {
						confirmed <- receipt.MessageID
						break
					}
					if ingest.KindOf(err) != ingest.KindTransient {
						t.Errorf("publish: %v", err)
						return
					}
				}
				if i == 0 && j%3 == 0 {
					b.cable.cut(false)
				}
			}
		})
	}
	group.Wait()
	close(confirmed)
	queued := map[string]bool{}
	for {
		msg, ok, err := b.mq.Channel.Get(b.mq.Queue, true)
		require.NoError(t, err)
		if !ok {
			break
		}
		queued[msg.MessageId] = true
	}
	var count int
	for id := range confirmed {
		count++
		require.True(t, queued[id], "confirmed and in the queue")
	}
	require.Equal(t, 400, count)
}

func TestSilentBrokerTimesOut(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *amqp.Config) { cfg.ConfirmTimeout = 8 * time.Second }) // below the 15 s of a missing heartbeat
	a := notification("/out/a.csv")
	require.NoError(t, b.pub.Ping(t.Context()))
	b.cable.jam()
	_, err := b.pub.Publish(t.Context(), a)
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "did not respond within 8s")
	// The connection is still blocked: the next call opens another one.
	_, err = b.pub.Publish(t.Context(), a)
	require.NoError(t, err)
}

func TestCancelStopsPromptly(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.pub.Ping(t.Context()))
	b.cable.jam()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := b.pub.Publish(ctx, notification("/out/a.csv"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), patience/2, "a canceled publish does not wait for the confirmation")
}

func TestErrorsNeverShowThePassword(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"amqp://u:hushhush@127.0.0.1:notaport/", "http://u:hushhush@h/", "amqp://u:hushhush@[::1/"} {
		_, err := amqp.New(amqp.Config{URL: address, Queue: "q"})
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), address)
		require.NotContains(t, err.Error(), "hushhush")
	}
	address := fmt.Sprintf("127.0.0.1:%d", services.FreePort(t))
	pub, err := amqp.New(amqp.Config{URL: "amqp://u:hushhush@" + address + "/", Queue: "q"})
	require.NoError(t, err)
	defer pub.Close()
	_, err = pub.Publish(t.Context(), notification("/a"))
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "the broker at "+address+" cannot be reached")
	require.NotContains(t, err.Error(), "hushhush")
}

func TestRejectedLogIn(t *testing.T) {
	t.Parallel()
	b := setup(t, func(cfg *amqp.Config) {
		broker, _ := url.Parse(cfg.URL)
		broker.User = url.UserPassword("guest", "hushhush")
		cfg.URL = broker.String()
	})
	err := b.pub.Ping(t.Context())
	require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
	require.ErrorContains(t, err, "denied access")
	require.NotContains(t, err.Error(), "hushhush")
}

func TestCloseEndsEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.pub.Ping(t.Context()))
	b.cable.jam()
	result := make(chan error, 1)
	go func() { _, err := b.pub.Publish(context.Background(), notification("/a")); result <- err }()
	require.NoError(t, b.pub.Close())
	require.NoError(t, b.pub.Close())
	require.Equal(t, ingest.KindTransient, ingest.KindOf(<-result))
	_, err := b.pub.Publish(t.Context(), notification("/a"))
	require.ErrorContains(t, err, "closed")
}
