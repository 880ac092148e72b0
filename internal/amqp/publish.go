package amqp

import (
	"context"
	"slices"

	amqp091 "github.com/rabbitmq/amqp091-go"
)

// publish sends a message and waits until the broker has routed and confirmed
// it. Many callers publish side by side.
func (l *link) publish(ctx context.Context, msg amqp091.Publishing) error {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-l.dead:
		return l.why()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	// A blocked broker would not read the message: do not hand it one.
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

// send writes the message. The library's call takes no context and can hang in
// the network, so it has a goroutine of its own, which the wire's write
// time-out ends at the latest.
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

// refusal explains a negative confirmation. The library gives one to every
// waiting message when the channel ends; then the channel's end is the reason.
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

// wasReturned reports whether the message came back as unroutable. The broker
// returns a message before it confirms it, so whatever concerns mine is in the
// channel by now. A return names its message by id only: where one message is
// on its way twice both count as returned, which errs towards sending again.
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
