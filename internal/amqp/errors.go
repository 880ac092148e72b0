package amqp

import (
	"context"
	"errors"
	"fmt"
	"net"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"stevedore/internal/ingest"
)

var (
	// errReturned: the broker found no queue for the message.
	errReturned = errors.New("message was returned as unroutable")
	// errNack: the broker rejected the message.
	errNack = errors.New("broker rejected the message")
	// errSilent: no response within the timeout.
	errSilent = errors.New("no response within the timeout")
	// errLost: the connection ended before the confirmation.
	errLost = errors.New("connection ended")
	// errClosed: Close was called.
	errClosed = ingest.Errorf(ingest.KindTransient, "the publisher is closed: this worker is shutting down")
)

// blockedError is the broker's report that it accepts no messages at present.
type blockedError struct{ reason string }

func (e blockedError) Error() string { return "broker blocked: " + e.reason }

// explain returns err with a kind and a one-line message that names the broker and
// the remedy. The ledger stores the message without the cause.
func (p *Publisher) explain(ctx context.Context, err error, doing string) error {
	var known *ingest.Error
	if errors.As(err, &known) {
		return err
	}
	var blocked blockedError
	var broker *amqp091.Error
	var network net.Error
	const again = "it is retried with the same message id"
	switch {
	case errors.Is(err, errReturned):
		return ingest.Wrap(ingest.KindMissing, err, "no queue receives notifications for %s on %s: %s, or run `stevedore setup`", p.destination(), p.address(), p.missingPart())
	case errors.As(err, &blocked):
		return ingest.Errorf(ingest.KindTransient, "broker blocked: %s at %s: publishing resumes once it has free memory and disk", blocked.reason, p.address())
	case errors.Is(err, errSilent):
		return ingest.Wrap(ingest.KindTransient, err, "the broker at %s did not respond within %s: %s", p.address(), p.cfg.ConfirmTimeout, again)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	case errors.As(err, &broker) && broker.Code == amqp091.NotFound:
		return ingest.Wrap(ingest.KindMissing, brokerCause(broker), "the broker at %s lacks the topology for %s (%s): declare it or run `stevedore setup`", p.address(), p.destination(), broker.Reason)
	case errors.As(err, &broker) && (broker.Code == amqp091.AccessRefused || broker.Code == amqp091.NotAllowed):
		return ingest.Wrap(ingest.KindTransient, brokerCause(broker), "the broker at %s denied access: check user, password, virtual host and permissions in STEVEDORE_AMQP_URL", p.address())
	case doing == "connect" && errors.As(err, &network):
		return ingest.Wrap(ingest.KindTransient, err, "the broker at %s cannot be reached: check that it runs and STEVEDORE_AMQP_URL", p.address())
	default:
		return ingest.Errorf(ingest.KindTransient, "the broker at %s failed to %s (%v): %s", p.address(), doing, err, again)
	}
}

// missingPart returns what to declare so that messages are routed.
func (p *Publisher) missingPart() string {
	if p.cfg.Exchange == "" {
		return fmt.Sprintf("declare queue %s", p.cfg.RoutingKey)
	}
	return fmt.Sprintf("bind a queue to exchange %s with routing key %q", p.cfg.Exchange, p.cfg.RoutingKey)
}

// brokerCause returns the broker's code and reason.
func brokerCause(e *amqp091.Error) error { return fmt.Errorf("%d %s", e.Code, e.Reason) }
