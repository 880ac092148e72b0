package amqp

import (
	"context"
	"slices"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// publish sends a message and waits until the broker has routed and confirmed it.
// Calls run concurrently.
func (l *link) publish(ctx context.Context, msg amqp091.Publishing) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-l.dead:
		return l.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// Do not send to a blocked broker, which would not read the message.
	if err := l.refusing(); err != nil {
		return err
	}
	mine := l.register(msg.MessageId)
	defer l.forget(msg.MessageId, mine)
	confirm, err := l.send(ctx, msg)
	if err != nil {
		return err
	}
	if err := l.await(ctx, confirm.Done()); err != nil {
		return err
	}
	if !confirm.Acked() {
		return l.refusal(ctx)
	}
	if l.wasReturned(mine) {
		return errReturned
	}
	return nil
}

// send writes the message. The library's call takes no context and may block in the
// network. So it runs in a separate goroutine, which ends at the latest with the
// connection's write timeout.
func (l *link) send(ctx context.Context, msg amqp091.Publishing) (*amqp091.DeferredConfirmation, error) {
	var confirm *amqp091.DeferredConfirmation
	var err error
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		const mandatory, immediate = true, false
		confirm, err = l.ch.PublishWithDeferredConfirm(l.cfg.Exchange, l.cfg.RoutingKey, mandatory, immediate, msg)
	}()
	if err := l.await(ctx, sent); err != nil {
		return nil, err
	}
	if err != nil && l.ch.IsClosed() {
		return nil, l.refusal(ctx)
	}
	return confirm, err
}

// refusal returns the reason of a negative confirmation. When the channel ends,
// the library negatively confirms every waiting message; then the channel's end is
// the reason.
func (l *link) refusal(ctx context.Context) error {
	if !l.ch.IsClosed() {
		return errNack
	}
	select {
	case <-l.dead:
		return l.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *link) register(id string) *attempt {
	mine := &attempt{}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending[id] = append(l.pending[id], mine)
	return mine
}

func (l *link) forget(id string, mine *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(l.pending[id], func(a *attempt) bool { return a == mine })
	if len(left) == 0 {
		delete(l.pending, id)
		return
	}
	l.pending[id] = left
}

// wasReturned reports whether the message was returned as unroutable. The broker
// returns a message before it confirms it, so the return has arrived by now.
// Returns identify messages by id only: if one message is in flight twice, both
// count as returned, which errs towards publishing again.
func (l *link) wasReturned(mine *attempt) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		select {
		case back, open := <-l.returns:
			if !open {
				return mine.returned
			}
			for _, a := range l.pending[back.MessageId] {
				a.returned = true
			}
		default:
			return mine.returned
		}
	}
}
