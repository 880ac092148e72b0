// Package amqp publishes notifications about stored files over AMQP 0-9-1
// (RabbitMQ). It returns only when the broker has routed and stored the message.
//
// After a failure between sending and the broker's confirmation the result is
// unknown. The caller then publishes again; the message id, which depends on the
// file alone, lets consumers drop the duplicate.
package amqp

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/singleflight"

	"stevedore/internal/ingest"
)

const (
	defaultConfirmTimeout = 30 * time.Second
	defaultDialTimeout    = 10 * time.Second
	// closeTimeout bounds a graceful close; a blocked broker gets none.
	closeTimeout = 3 * time.Second
)

// Config configures the destination of notifications.
type Config struct {
	// URL is amqp:// or amqps:// with user, password and virtual host. The password
	// never appears in errors.
	URL string
	// Exchange is the exchange to publish to; empty means the default exchange, which
	// routes to the queue named by the routing key.
	Exchange string
	// RoutingKey is the routing key of each message; default Queue.
	RoutingKey string
	// Queue is the queue that EnsureTopology declares and Ping checks.
	Queue string
	// ConfirmTimeout is the time for the broker to confirm a message; default 30 s.
	// After it the connection is considered dead and closed.
	ConfirmTimeout time.Duration
	// DialTimeout bounds connecting, including the login; default 10 s.
	DialTimeout time.Duration
}

// Publisher publishes notifications. It connects on first use and after each
// failure, shares one connection among all callers, and is safe for concurrent
// use. The caller must close it.
type Publisher struct {
	cfg Config
	uri amqp091.URI

	// life ends with Close and stops dialing and watching.
	life context.Context //nolint:containedctx // of the Publisher: dialing outlives the caller
	end  context.CancelFunc
	// running counts the goroutines that open and watch connections.
	running sync.WaitGroup
	dials   singleflight.Group

	mu     sync.Mutex
	link   *link
	closed bool
}

// New returns a publisher, or KindInvalid for a wrong configuration. It does not
// connect.
func New(cfg Config) (*Publisher, error) {
	// The parser's error may quote the URL with its password.
	uri, err := amqp091.ParseURI(cfg.URL)
	if err != nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "the broker's URL (STEVEDORE_AMQP_URL) is not valid: use amqp://user:password@host:5672/vhost")
	}
	if cfg.RoutingKey == "" {
		cfg.RoutingKey = cfg.Queue
	}
	if cfg.RoutingKey == "" && cfg.Exchange == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "notifications need a queue or an exchange: set STEVEDORE_AMQP_QUEUE or STEVEDORE_AMQP_EXCHANGE")
	}
	if cfg.ConfirmTimeout <= 0 {
		cfg.ConfirmTimeout = defaultConfirmTimeout
	}
	if cfg.DialTimeout <= 0 {
		cfg.DialTimeout = defaultDialTimeout
	}
	p := &Publisher{cfg: cfg, uri: uri}
	p.life, p.end = context.WithCancel(context.Background())
	return p, nil
}

// Publish publishes the notification and returns once the broker has routed it to
// a queue and confirmed that it is stored. KindMissing means that the exchange,
// queue or binding is missing. KindTransient means that the broker is unavailable,
// blocked or silent, and the message may or may not be stored: publish again.
func (p *Publisher) Publish(ctx context.Context, a ingest.Notification) (ingest.Receipt, error) {
	msg, err := message(a)
	if err != nil {
		return ingest.Receipt{}, err
	}
	l, err := p.connect(ctx)
	if err != nil {
		return ingest.Receipt{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.ConfirmTimeout, errSilent)
	defer cancel()
	if err := l.publish(ctx, msg); err != nil {
		return ingest.Receipt{}, p.explain(ctx, err, "publish the notification")
	}
	return ingest.Receipt{Queue: p.destination(), MessageID: msg.MessageId}, nil
}

// destination returns where messages are published: the queue, or exchange/key.
func (p *Publisher) destination() string {
	if p.cfg.Exchange == "" {
		return p.cfg.RoutingKey
	}
	return p.cfg.Exchange + "/" + p.cfg.RoutingKey
}

// address returns the broker's host:port for errors.
func (p *Publisher) address() string {
	return net.JoinHostPort(p.uri.Host, strconv.Itoa(p.uri.Port))
}

// connect returns the open connection, or opens one. Concurrent callers share the
// attempt and its error, so that an unavailable broker is not dialed once per
// file.
func (p *Publisher) connect(ctx context.Context) (*link, error) {
	p.mu.Lock()
	l, closed := p.link, p.closed
	p.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if l != nil && l.alive() {
		return l, nil
	}
	made := p.dials.DoChan("", func() (any, error) { return p.dial() })
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to the broker at %s: %w", p.address(), ctx.Err())
	case result := <-made:
		if result.Err != nil {
			return nil, p.explain(ctx, result.Err, "connect")
		}
		return result.Val.(*link), nil
	}
}

// dial opens a connection; singleflight serializes dials.
func (p *Publisher) dial() (*link, error) {
	p.mu.Lock()
	l, closed := p.link, p.closed
	if !closed {
		p.running.Add(1)
	}
	p.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	defer p.running.Done()
	if l != nil && l.alive() {
		return l, nil
	}
	l, err := open(p.life, p.cfg)
	if err != nil {
		return nil, err
	}
	p.running.Go(func() { l.watch(p.life) })
	p.mu.Lock()
	p.link = l
	p.mu.Unlock()
	return l, nil
}

// Close closes the connection. Waiting calls fail with an unknown result. It is
// idempotent.
func (p *Publisher) Close() error {
	p.end()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Wait()
	return nil
}
