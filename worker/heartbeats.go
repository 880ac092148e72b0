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

// heartbeatTimeout bounds one heartbeat request.
const heartbeatTimeout = 5 * time.Second

// steadyHeartbeats keeps steps running while Temporal is unreachable. The SDK
// cancels an activity when one heartbeat fails for a heartbeat interval, which is
// two seconds here because progress is shown live: every short outage would
// break all transfers. This interceptor drops a failed heartbeat, since the next
// one follows soon, and passes only a definite end of the step to the SDK. If
// Temporal has timed the step out meanwhile, the fence in the ledger rejects its
// writes, and the first heartbeat that arrives ends it.
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
	bounded, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	err := o.steady.temporal.RecordActivityHeartbeat(bounded, info.TaskToken, details...)
	switch {
	case err == nil, ctx.Err() != nil: // the step has just ended
	case endsStep(err):
		o.Next.RecordHeartbeat(ctx, details...) // sends it again; the SDK then cancels the step
	default:
		o.steady.log.WarnContext(ctx, "heartbeat failed; the step continues",
			"step", info.ActivityType.Name, "workflow", info.WorkflowExecution.ID, "error", err)
	}
}

// endsStep reports whether the response to a heartbeat ends the step: it is
// cancelled, paused or reset by an operator, or unknown to Temporal. An unknown
// namespace does not end it: an overloaded server returns that error, too.
func endsStep(err error) bool {
	var notFound *serviceerror.NotFound
	return temporal.IsCanceledError(err) || errors.Is(err, activity.ErrActivityPaused) || errors.Is(err, activity.ErrActivityReset) ||
		errors.As(err, &notFound)
}
