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

// measuredSteps counts attempts at steps and how they end.
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
	ok = ok && name != activities.NameClaimHost // which is only the way to a step
	if !ok || elsewhere(err) {
		return result, err
	}
	i.metrics.Step(string(step), failureKind(err))
	if err == nil {
		i.metrics.StepTook(string(step), time.Since(began))
	}
	return result, err
}

// elsewhere reports whether an attempt only found out that another one is to do
// the step.
func elsewhere(err error) bool {
	var failure *temporal.ApplicationError
	return errors.As(err, &failure) && (failure.Type() == activities.TypeOtherHost || failure.Type() == activities.TypeNotThrough)
}

// unknownKind is the kind of errors that are none of ours.
const unknownKind = "unknown"

// failureKind returns the kind of a failure, and nothing for success and for
// attempts that somebody ended.
func failureKind(err error) string {
	var failure *temporal.ApplicationError
	switch {
	case err == nil, temporal.IsCanceledError(err):
		return ""
	case !errors.As(err, &failure):
		return unknownKind
	case failure.Type() == string(ingest.KindFenced):
		return failure.Type() // benign, and yet worth knowing when there are many
	case failure.Category() == temporal.ApplicationErrorCategoryBenign:
		return "" // handed over, or held by an operator
	default:
		return failure.Type() // a kind, see activities/errors.go
	}
}
