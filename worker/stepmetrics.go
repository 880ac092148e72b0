package worker

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

// measuredSteps counts attempts of steps and their results.
type measuredSteps struct {
	interceptor.WorkerInterceptorBase
	metrics *telemetry.Worker
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (m *measuredSteps) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &measuredInbound{metrics: m.metrics}
	in.Next = next
	return in
}

type measuredInbound struct {
	interceptor.ActivityInboundInterceptorBase
	metrics *telemetry.Worker
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor.
func (i *measuredInbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	began := time.Now()
	result, err := i.Next.ExecuteActivity(withClaim(ctx), in)
	name := activity.GetInfo(ctx).ActivityType.Name
	step, ok := activities.StepOf[name]
	ok = ok && name != activities.NameClaimHost // it only routes a step to its host
	if !ok || elsewhere(err) {
		return result, err
	}
	i.metrics.Step(string(step), failureKind(err))
	if err == nil {
		i.metrics.StepTook(string(step), time.Since(began))
	}
	return result, err
}

// elsewhere reports whether an attempt ended only because the step belongs to
// another host or mode.
func elsewhere(err error) bool {
	var failure *temporal.ApplicationError
	return errors.As(err, &failure) && (failure.Type() == activities.TypeOtherHost || failure.Type() == activities.TypeListingIncomplete)
}

// unknownKind is the label of errors without an ingest.Kind.
const unknownKind = "unknown"

// failureKind returns the kind of a failure. It is empty for success and for
// attempts that were cancelled, stopped or paused.
func failureKind(err error) string {
	var failure *temporal.ApplicationError
	switch {
	case err == nil, temporal.IsCanceledError(err):
		return ""
	case !errors.As(err, &failure):
		return unknownKind
	case failure.Type() == string(ingest.KindFenced):
		return failure.Type() // benign, but many of them are a sign of trouble
	case failure.Category() == temporal.ApplicationErrorCategoryBenign:
		return "" // stopped for a handoff, or paused by an operator
	default:
		return failure.Type() // an ingest.Kind, see activities/errors.go
	}
}
