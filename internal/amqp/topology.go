package amqp

import (
	"context"
	"errors"
	"fmt"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"stevedore/internal/ingest"
)

// EnsureTopology declares the durable quorum queue and, if an exchange is
// configured, the exchange and the binding. It is idempotent. An existing exchange
// of any type is used. An existing queue with other settings is KindInvalid.
func (p *Publisher) EnsureTopology(ctx context.Context) error {
	if p.cfg.Queue != "" {
		err := p.ask(ctx, func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclare(p.cfg.Queue, true, false, false, false, amqp091.Table{amqp091.QueueTypeArg: amqp091.QueueTypeQuorum})
			return err
		})
		if isCode(err, amqp091.PreconditionFailed) {
			return ingest.Wrap(ingest.KindInvalid, err,
				"queue %s exists on %s but is not a durable quorum queue with default settings: set STEVEDORE_AMQP_QUEUE to another name, or drain and delete the queue and run `stevedore setup` again",
				p.cfg.Queue, p.address())
		}
		if err != nil {
			return p.explain(ctx, err, "declare queue "+p.cfg.Queue)
		}
	}
	if p.cfg.Exchange == "" {
		return nil
	}
	return p.ensureExchange(ctx)
}

func (p *Publisher) ensureExchange(ctx context.Context) error {
	err := p.ask(ctx, func(ch *amqp091.Channel) error {
		return ch.ExchangeDeclarePassive(p.cfg.Exchange, amqp091.ExchangeTopic, true, false, false, false, nil)
	})
	if isCode(err, amqp091.NotFound) {
		err = p.ask(ctx, func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclare(p.cfg.Exchange, amqp091.ExchangeTopic, true, false, false, false, nil)
		})
	}
	if err != nil {
		return p.explain(ctx, err, "declare exchange "+p.cfg.Exchange)
	}
	if p.cfg.Queue == "" {
		return nil
	}
	err = p.ask(ctx, func(ch *amqp091.Channel) error {
		return ch.QueueBind(p.cfg.Queue, p.cfg.RoutingKey, p.cfg.Exchange, false, nil)
	})
	if err != nil {
		return p.explain(ctx, err, fmt.Sprintf("bind queue %s to exchange %s", p.cfg.Queue, p.cfg.Exchange))
	}
	return nil
}

// Ping checks that notifications can be published: the broker responds, accepts
// messages, and has the queue and the exchange.
func (p *Publisher) Ping(ctx context.Context) error {
	err := p.ask(ctx, func(ch *amqp091.Channel) error {
		if p.cfg.Exchange != "" {
			if err := ch.ExchangeDeclarePassive(p.cfg.Exchange, amqp091.ExchangeTopic, true, false, false, false, nil); err != nil {
				return err
			}
		}
		if p.cfg.Queue == "" {
			return nil
		}
		_, err := ch.QueueDeclarePassive(p.cfg.Queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		return p.explain(ctx, err, "answer")
	}
	return nil
}

// ask runs a query on a separate channel, because the broker closes the channel
// after a failed query, and the publishing channel must stay open.
func (p *Publisher) ask(ctx context.Context, question func(*amqp091.Channel) error) error {
	l, err := p.connect(ctx)
	if err != nil {
		return err
	}
	if err := l.refusing(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, p.cfg.ConfirmTimeout, errSilent)
	defer cancel()
	answered := make(chan struct{})
	var answer error
	go func() {
		defer close(answered)
		ch, err := l.conn.Channel()
		if err != nil {
			answer = err
			return
		}
		answer = question(ch)
		_ = ch.Close()
	}()
	if err := l.await(ctx, answered); err != nil {
		return err
	}
	return answer
}

func isCode(err error, code int) bool {
	var broker *amqp091.Error
	return errors.As(err, &broker) && broker.Code == code
}
