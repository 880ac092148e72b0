// Package amqp tells consumers over AMQP 0-9-1 (RabbitMQ) that a file is in the
// object store, and returns only when the broker has both routed and stored
// the message.
//
// Whatever goes wrong between sending and the broker's confirmation leaves the
// outcome unknown. The caller then announces again; the message id, which
// depends on the file alone, lets consumers drop the repetition.
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
	// closeTimeout bounds a polite goodbye; a broker that is stuck gets none.
	closeTimeout = 3 * time.Second
)

// Config says where announcements go.
type Config struct {
	// URL is amqp:// or amqps:// with user, password and virtual host. The
	// password never appears in errors.
	URL string
	// Exchange is published to; empty means the default exchange, which routes
	// to the queue that the routing key names.
	Exchange string
	// RoutingKey of each message; default: Queue.
	RoutingKey string
	// Queue is what EnsureTopology declares and Ping looks for.
	Queue string
	// ConfirmTimeout is how long the broker may take to confirm a message;
	// default 30 s. After it the connection is thought dead and cut.
	ConfirmTimeout time.Duration
	// DialTimeout bounds connecting, including the log-in; default 10 s.
	DialTimeout time.Duration
}

// Publisher announces files. It connects when first needed and again after
// each failure, shares one connection among all callers, and is safe for
// concurrent use. Close it when done.
type Publisher struct {
	cfg Config
	uri amqp091.URI

	// life ends with Close and stops dialing and watching.
	life context.Context
	end  context.CancelFunc
	// running counts the goroutines that make and watch connections.
	running sync.WaitGroup
	dials   singleflight.Group

	mu     sync.Mutex
	link   *link
	closed bool
}

// New returns a publisher after checking the configuration. It does not connect.
func New(cfg Config) (*Publisher, error) {
	// The parser's error may quote the URL, and with it the password.
	uri, err := amqp091.ParseURI(cfg.URL)
	if err != nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "the broker's URL (STEVEDORE_AMQP_URL) is not valid: use amqp://user:password@host:5672/vhost")
	}
	if cfg.RoutingKey == "" {
		cfg.RoutingKey = cfg.Queue
	}
	if cfg.RoutingKey == "" && cfg.Exchange == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "announcements need a queue or an exchange: set STEVEDORE_AMQP_QUEUE or STEVEDORE_AMQP_EXCHANGE")
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

// Announce returns once the broker has routed the message to a queue and
// confirmed that it is stored. KindMissing means that nothing takes the
// message: the exchange, queue or binding is missing. KindTransient means that
// the broker is away, blocked or silent and the message may or may not be
// there: announce again.
func (p *Publisher) Announce(ctx context.Context, a ingest.Announcement) (ingest.Receipt, error) {
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
		return ingest.Receipt{}, p.explain(ctx, err, "announce the file")
	}
	return ingest.Receipt{Queue: p.destination(), MessageID: msg.MessageId}, nil
}

// destination names where messages go: the queue, or exchange/key.
func (p *Publisher) destination() string {
	if p.cfg.Exchange == "" {
		return p.cfg.RoutingKey
	}
	return p.cfg.Exchange + "/" + p.cfg.RoutingKey
}

// address is the broker's host:port, for errors.
func (p *Publisher) address() string {
	return net.JoinHostPort(p.uri.Host, strconv.Itoa(p.uri.Port))
}

// connect returns the live connection, making one if needed. Callers that come
// while it is made wait for the same one and share its error, so that a broker
// that is away is not called once per file.
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

// dial makes a connection; singleflight sees to it that one dial runs at a time.
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

// Close ends the connection. Announcements that wait fail with the outcome
// unknown. It is safe to call more than once.
func (p *Publisher) Close() error {
	p.end()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.running.Wait()
	return nil
}
