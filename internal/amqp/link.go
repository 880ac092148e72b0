package amqp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// inFlight bounds unconfirmed messages. It is far below the capacity for returned
// messages: the client library drops returns beyond that, and a lost return would count
// as a delivery.
const (
	inFlight   = 512
	returnRoom = 8 * inFlight
)

// link is one connection with one channel in confirm mode.
type link struct {
	cfg  Config
	conn *amqp091.Connection
	ch   *amqp091.Channel
	// wire is the network connection; closing it ends blocked writes.
	wire net.Conn
	// slots holds one token per unconfirmed message.
	slots   chan struct{}
	returns chan amqp091.Return
	blocks  chan amqp091.Blocking
	closes  chan *amqp091.Error
	// dead is closed when the link is no longer usable; cause is the reason.
	dead chan struct{}

	mu      sync.Mutex
	cause   error
	pending map[string][]*attempt // by message id
	block   *block
}

// attempt is one message in flight.
type attempt struct{ returned bool }

// block is a period in which the broker accepts no messages. reason may be read
// once begun is closed.
type block struct {
	begun  chan struct{}
	reason string
}

func newBlock() *block { return &block{begun: make(chan struct{})} }

// wire is a network connection with a write timeout: a broker that is out of
// memory stops reading, and the client library would wait forever.
type wire struct {
	net.Conn
	timeout time.Duration
}

func (w wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// open connects, logs in and opens a channel in confirm mode.
func open(ctx context.Context, cfg Config) (*link, error) {
	l := &link{
		cfg: cfg, slots: make(chan struct{}, inFlight), dead: make(chan struct{}),
		pending: map[string][]*attempt{}, block: newBlock(),
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName(appID)
	conn, err := amqp091.DialConfig(cfg.URL, amqp091.Config{
		Properties: properties,
		Dial: func(network, address string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			// The library clears the deadline after the login.
			deadline, _ := ctx.Deadline()
			l.wire = wire{Conn: raw, timeout: cfg.ConfirmTimeout}
			return l.wire, raw.SetDeadline(deadline)
		},
	})
	if l.wire != nil {
		defer context.AfterFunc(ctx, func() { _ = l.wire.Close() })()
	}
	if err != nil {
		if l.wire != nil {
			_ = l.wire.Close()
		}
		return nil, err
	}
	l.conn = conn
	if err := l.prepare(); err != nil {
		l.hangUp()
		return nil, err
	}
	return l, nil
}

func (l *link) prepare() (err error) {
	if l.ch, err = l.conn.Channel(); err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := l.ch.Confirm(false); err != nil {
		return fmt.Errorf("enable confirmations: %w", err)
	}
	l.returns = l.ch.NotifyReturn(make(chan amqp091.Return, returnRoom))
	l.closes = l.ch.NotifyClose(make(chan *amqp091.Error, 1))
	l.blocks = l.conn.NotifyBlocked(make(chan amqp091.Blocking, 8))
	return nil
}

// watch follows the link until it dies or ctx ends, and then cleans up.
func (l *link) watch(ctx context.Context) {
	defer l.hangUp()
	blocks := l.blocks
	for {
		select {
		case <-ctx.Done():
			l.fail(errClosed)
			return
		case <-l.dead:
			return
		case reason, open := <-l.closes:
			if open {
				l.fail(fmt.Errorf("%w: %w", errLost, reason))
			} else {
				l.fail(errLost)
			}
			return
		case state, open := <-blocks:
			if !open {
				blocks = nil
				continue
			}
			l.noteBlock(state)
		}
	}
}

// hangUp closes the connection gracefully if the broker responds, and otherwise
// closes the wire.
func (l *link) hangUp() {
	cut := time.AfterFunc(closeTimeout, func() { _ = l.wire.Close() })
	defer cut.Stop()
	_ = l.conn.CloseDeadline(time.Now().Add(closeTimeout))
	_ = l.wire.Close()
}

// fail marks the link dead. The first cause is kept.
func (l *link) fail(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause == nil {
		l.cause = cause
		close(l.dead)
	}
}

func (l *link) alive() bool {
	select {
	case <-l.dead:
		return false
	default:
		return !l.conn.IsClosed()
	}
}

// why returns the reason why the link is dead.
func (l *link) why() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// noteBlock records whether the broker accepts messages.
func (l *link) noteBlock(state amqp091.Blocking) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !state.Active {
		l.block = newBlock()
		return
	}
	if l.block.reason == "" {
		l.block.reason = cmp.Or(state.Reason, "no reason given")
		close(l.block.begun)
	}
}

// nextBlock returns the current block, or the next one.
func (l *link) nextBlock() *block {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.block
}

// refusing returns the broker's block error; nil when it accepts messages.
func (l *link) refusing() error {
	block := l.nextBlock()
	select {
	case <-block.begun:
		return blockedError{block.reason}
	default:
		return nil
	}
}

// await waits for done and fails when the context ends, the link dies or the
// broker blocks. A broker without a response within the timeout is considered
// dead, so that the next call opens a new connection.
func (l *link) await(ctx context.Context, done <-chan struct{}) error {
	block := l.nextBlock()
	select {
	case <-done:
		return nil
	case <-l.dead:
		return l.why()
	case <-block.begun:
		return blockedError{block.reason}
	case <-ctx.Done():
		if cause := context.Cause(ctx); errors.Is(cause, errSilent) {
			l.fail(errSilent)
			return errSilent
		}
		return ctx.Err()
	}
}
