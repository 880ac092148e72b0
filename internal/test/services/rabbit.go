package services

import (
	"crypto/rand"
	"os"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// AMQP is a queue of a single test.
type AMQP struct {
	// URL is the broker's, with credentials.
	URL string
	// Queue is a durable quorum queue, deleted when the test ends.
	Queue string
	// Channel is the test's own connection to the queue. It is not safe for concurrent
	// use.
	Channel *amqp.Channel
}

// Queue declares a queue for the test on the broker of STEVEDORE_AMQP_URL. It
// skips the test under -short.
func Queue(t testing.TB) AMQP {
	t.Helper()
	q := AMQP{URL: setting(t, "STEVEDORE_AMQP_URL"), Queue: "test-" + strings.ToLower(rand.Text())}
	conn, err := amqp.Dial(q.URL)
	if err != nil {
		t.Fatalf("connect to the broker of STEVEDORE_AMQP_URL: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	q.Channel, err = conn.Channel()
	if err != nil {
		t.Fatalf("open a channel: %v", err)
	}
	q.Declare(t)
	t.Cleanup(func() { q.Delete(t) })
	return q
}

// Declare declares the queue, also after Delete.
func (q AMQP) Declare(t testing.TB) {
	t.Helper()
	if _, err := q.Channel.QueueDeclare(q.Queue, true, false, false, false, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}); err != nil {
		t.Fatalf("declare queue %s: %v", q.Queue, err)
	}
}

// Delete deletes the queue with its messages.
func (q AMQP) Delete(t testing.TB) {
	t.Helper()
	if _, err := q.Channel.QueueDelete(q.Queue, false, false, false); err != nil {
		t.Errorf("delete queue %s: %v", q.Queue, err)
	}
}

// setting returns an environment variable of the test stack. Under -short it skips the
// test. Without the variable the test fails, so that a run without services cannot
// pass.
func setting(t testing.TB, name string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the test stack, which -short leaves out")
	}
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run `make test`, which starts the test stack", name)
	}
	return value
}

// optional returns an environment variable that may be unset.
func optional(name string) string { return os.Getenv(name) }
