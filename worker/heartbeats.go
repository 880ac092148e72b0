package worker

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
)

// heartbeatPatience bounds one report.
const heartbeatPatience = 5 * time.Second

// steadyHeartbeats keeps steps going while Temporal cannot be reached. The SDK
// ends a step as soon as one report fails for as long as reports are apart,
// which for reports that people watch is two seconds: every hiccup would break
// all transfers. Here a report that does not arrive is forgotten, the next one
// follows soon, and only an answer that the step is to end goes to the SDK. A
// step that Temporal has given up meanwhile is fenced off in the ledger, and
// learns of it with the first report that arrives.
type steadyHeartbeats struct {
	interceptor.WorkerInterceptorBase
	temporal client.Client
	log      *slog.Logger
}

// InterceptActivity implements interceptor.WorkerInterceptor.
func (s *steadyHeartbeats) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	in := &steadyInbound{steady: s}
	in.Next = next
	return in
}

type steadyInbound struct {
	interceptor.ActivityInboundInterceptorBase
	steady *steadyHeartbeats
}

// Init implements interceptor.ActivityInboundInterceptor.
func (i *steadyInbound) Init(outbound interceptor.ActivityOutboundInterceptor) error {
	out := &steadyOutbound{steady: i.steady}
	out.Next = outbound
	return i.Next.Init(out)
}

type steadyOutbound struct {
	interceptor.ActivityOutboundInterceptorBase
	steady *steadyHeartbeats
}

// RecordHeartbeat implements interceptor.ActivityOutboundInterceptor.
func (o *steadyOutbound) RecordHeartbeat(ctx context.Context, details ...any) {
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity || ctx.Err() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, heartbeatPatience)
	defer cancel()
	err := o.steady.temporal.RecordActivityHeartbeat(bounded, info.TaskToken, details...)
	switch {
	case err == nil, ctx.Err() != nil: // the step has just ended
	case toEnd(err):
		o.Next.RecordHeartbeat(ctx, details...) // asks once more, and ends the step
	default:
		o.steady.log.WarnContext(ctx, "a heartbeat did not arrive; the step goes on",
			"step", info.ActivityType.Name, "workflow", info.WorkflowExecution.ID, "error", err)
	}
}

// toEnd reports whether the answer to a report says that the step is to end:
// it is cancelled, held by an operator, or not known any more. That the whole
// namespace is not known is no such answer: a server that is short of time
// says so, too.
func toEnd(err error) bool {
	var unknown *serviceerror.NotFound
	return temporal.IsCanceledError(err) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset) ||
		errors.As(err, &unknown)
}
