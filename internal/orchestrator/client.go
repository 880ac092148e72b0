package orchestrator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// Client calls Temporal for operators. It is safe for concurrent use.
type Client struct {
	// Connect returns the client, which it may cache. It is called by each method, so
	// that operations that do not need Temporal work without it.
	Connect func(ctx context.Context) (client.Client, error)
	// TaskQueue is the workers' shared queue; default temporalnames.TaskQueue.
	TaskQueue string
	// Now is the clock for the age of polls; default time.Now.
	Now func() time.Time
}

// connect returns the client. Its errors are of KindTransient.
func (o Client) connect(ctx context.Context) (client.Client, error) {
	c, err := o.Connect(ctx)
	if err != nil {
		return nil, unreachable(err)
	}
	return c, nil
}

func (o Client) queue() string { return cmp.Or(o.TaskQueue, temporalnames.TaskQueue) }

// Execution is the state of a workflow.
type Execution struct {
	RunID   string
	Running bool
	// Continued: the run continues an earlier one of its chain.
	Continued bool
	StartedAt time.Time
	// ClosedAt is zero while it runs.
	ClosedAt time.Time
	// Summary is the result of a closed ScanAllServers.
	Summary workflows.ScanSummary
	// Err is the failure of a closed run, or of the last listing of a DiscoverFiles that
	// completed; nil on success.
	Err error
}

// maxPollAge is the largest age of a live worker's last poll. A long poll takes a minute.
const maxPollAge = 90 * time.Second

// StartScan starts ScanAllServers under the workflow id, after the delay, and returns the
// run id. A scan that was started before is not changed.
func (o Client) StartScan(ctx context.Context, workflowID string, in workflows.ScanAllServersInput, delay time.Duration) (string, error) {
	return o.start(ctx, client.StartWorkflowOptions{
		ID: workflowID, StaticSummary: in.Source + " scan", StartDelay: delay,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
	}, workflows.NameScanAllServers, in)
}

// start starts a workflow on the shared queue and returns its run id.
func (o Client) start(ctx context.Context, options client.StartWorkflowOptions, workflow string, in any) (runID string, err error) {
	c, err := o.connect(ctx)
	if err != nil {
		return "", err
	}
	options.TaskQueue = o.queue()
	run, err := c.ExecuteWorkflow(ctx, options, workflow, in)
	if err != nil {
		return "", classify(err, "workflow "+options.ID)
	}
	return run.GetRunID(), nil
}

// DescribeScan returns the state of a scan without waiting.
func (o Client) DescribeScan(ctx context.Context, workflowID string) (Execution, error) {
	var summary workflows.ScanSummary
	execution, err := o.describe(ctx, workflowID, &summary)
	execution.Summary = summary
	return execution, err
}

// DescribeServer returns the state of a server's DiscoverFiles without waiting. Its Err
// is also set if the scan completed but could not list the server.
func (o Client) DescribeServer(ctx context.Context, serverUUID string) (Execution, error) {
	var summary workflows.DiscoverSummary
	execution, err := o.describe(ctx, temporalnames.DiscoverWorkflowID(serverUUID), &summary)
	if failure := summary.Failure; failure != nil {
		execution.Err = ingest.Errorf(failure.Kind, "%s", failure.Message)
	}
	return execution, err
}

// describe also reads the result of a closed run, without waiting.
func (o Client) describe(ctx context.Context, workflowID string, result any) (Execution, error) {
	c, answer, err := o.inspect(ctx, workflowID)
	if err != nil {
		return Execution{}, err
	}
	info := answer.GetWorkflowExecutionInfo()
	execution := Execution{
		RunID:     info.GetExecution().GetRunId(),
		Running:   running(answer),
		Continued: info.GetFirstRunId() != "" && info.GetFirstRunId() != info.GetExecution().GetRunId(),
		StartedAt: info.GetStartTime().AsTime(),
	}
	if execution.Running {
		return execution, nil
	}
	execution.ClosedAt = info.GetCloseTime().AsTime()
	execution.Err = classify(c.GetWorkflow(ctx, workflowID, execution.RunID).Get(ctx, result), "workflow "+workflowID)
	return execution, nil
}

// inspect returns Temporal's description of the latest run of a workflow.
func (o Client) inspect(ctx context.Context, workflowID string) (client.Client, *workflowservice.DescribeWorkflowExecutionResponse, error) {
	c, err := o.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	answer, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	return c, answer, classify(err, "workflow "+workflowID)
}

func running(run *workflowservice.DescribeWorkflowExecutionResponse) bool {
	return run.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
}

// ErrNoWorker is in the chain of the error for a task queue without workers.
var ErrNoWorker = errors.New("no worker")

// CheckWorker returns an error around ErrNoWorker when no worker polls the task queue for
// workflows and for activities.
func (o Client) CheckWorker(ctx context.Context) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	now := time.Now
	if o.Now != nil {
		now = o.Now
	}
	for _, kind := range []enumspb.TaskQueueType{enumspb.TASK_QUEUE_TYPE_WORKFLOW, enumspb.TASK_QUEUE_TYPE_ACTIVITY} {
		polled, err := polled(ctx, c, o.queue(), kind, now())
		if err != nil {
			return classify(err, "task queue "+o.queue())
		}
		if !polled {
			return ingest.Wrap(ingest.KindTransient, ErrNoWorker, "no worker polls task queue %q: start one with `stevedore worker`", o.queue())
		}
	}
	return nil
}

// polled reports whether a worker polls the task queue for tasks of the kind.
func polled(ctx context.Context, c client.Client, taskQueue string, kind enumspb.TaskQueueType, now time.Time) (bool, error) {
	answer, err := c.DescribeTaskQueue(ctx, taskQueue, kind)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(answer.GetPollers(), func(poller *taskqueuepb.PollerInfo) bool {
		return now.Sub(poller.GetLastAccessTime().AsTime()) < maxPollAge
	}), nil
}

// Health returns an error if Temporal does not serve the namespace.
func (o Client) Health(ctx context.Context, namespace string) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	_, err = c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: o.queue()},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW,
	})
	return classify(err, "namespace "+namespace)
}

// Act sends an operator action to the workflow of a failed file, as the named update, and
// waits until it is accepted or rejected. A second action before the first one is in the
// ledger is ErrActionPending.
func (o Client) Act(ctx context.Context, fileUUID, update string, d workflows.OperatorAction) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	id := temporalnames.IngestWorkflowID(fileUUID)
	handle, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: update, UpdateID: updateID(ctx, fileUUID, update),
		WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{d},
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	var rejected *temporal.ApplicationError
	if errors.As(err, &rejected) {
		var cause error
		if rejected.Message() == workflows.ActionPending {
			cause = ErrActionPending
		}
		return &ingest.Error{Kind: ingest.KindConflict, Message: rejected.Message(), Err: cause}
	}
	return classify(err, "workflow "+id)
}

// Accepted reports whether the action of this request, see WithRequestKey, was accepted
// before.
func (o Client) Accepted(ctx context.Context, fileUUID, update string) (bool, error) {
	id := updateID(ctx, fileUUID, update)
	if id == "" {
		return false, nil
	}
	c, err := o.connect(ctx)
	if err != nil {
		return false, err
	}
	workflowID := temporalnames.IngestWorkflowID(fileUUID)
	err = c.GetWorkflowUpdateHandle(client.GetWorkflowUpdateHandleOptions{
		WorkflowID: workflowID, UpdateID: id,
	}).Get(ctx, nil)
	var unknown *serviceerror.NotFound
	if errors.As(err, &unknown) {
		return false, nil
	}
	return err == nil, classify(err, "workflow "+workflowID)
}

// updateID returns an id derived from the request, so that a request that is sent again
// after a lost response is one action; empty if the request has no key.
func updateID(ctx context.Context, fileUUID, update string) string {
	key, _ := ctx.Value(requestKey{}).(string)
	if key == "" {
		return ""
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(key+"\x00"+fileUUID+"\x00"+update)).String()
}

type requestKey struct{}

// ErrActionPending is in the error chain of an action on a file for which another one was
// accepted that is not in the ledger yet.
var ErrActionPending = errors.New("another action was accepted before")

// WithRequestKey returns a context for a request that may be sent again: its action is
// applied once. The key must be unique to the caller and the request.
func WithRequestKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, requestKey{}, key)
}

// StartIngest starts a FileIngest. If one is open, it returns an error of KindConflict.
func (o Client) StartIngest(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error {
	_, err := o.start(ctx, workflows.StartIngest(file, file.ServerUUID), workflows.NameFileIngest, in)
	return err
}

// Reprocess starts a FileIngest that makes a completed file ready again, and waits until
// it is, or returns why it cannot be. A repeated request, see WithRequestKey, has the same
// result.
func (o Client) Reprocess(ctx context.Context, file ingest.File, in workflows.FileIngestInput) error {
	c, err := o.connect(ctx)
	if err != nil {
		return err
	}
	options := workflows.StartIngest(file, file.ServerUUID)
	options.TaskQueue, options.WorkflowIDConflictPolicy = o.queue(), enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	options.WorkflowExecutionErrorWhenAlreadyStarted = false
	handle, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: c.NewWithStartWorkflowOperation(options, workflows.NameFileIngest, in),
		UpdateOptions: client.UpdateWorkflowOptions{
			WorkflowID: options.ID, UpdateName: workflows.UpdateReprocess,
			UpdateID:     updateID(ctx, file.UUID, workflows.UpdateReprocess),
			WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	return classify(err, "workflow "+options.ID)
}

// unreachable converts an error of Connect to KindTransient, without its cause in the
// message, unless it has a kind.
func unreachable(err error) error {
	var known *ingest.Error
	if errors.As(err, &known) {
		return err
	}
	advice, cause := err.Error(), errors.Unwrap(err)
	if cause != nil {
		advice = strings.TrimSuffix(advice, ": "+cause.Error())
	}
	return ingest.Wrap(ingest.KindTransient, err, "%s", advice)
}

// classify converts an error of Temporal about the object, such as "workflow file/x", to an
// error with a kind. The kind of a failed workflow is the type of its ApplicationError.
func classify(err error, object string) error {
	var (
		application *temporal.ApplicationError
		notFound    *serviceerror.NotFound
		noNamespace *serviceerror.NamespaceNotFound
		denied      *serviceerror.PermissionDenied
		unavailable *serviceerror.Unavailable
		deadline    *serviceerror.DeadlineExceeded
		started     *serviceerror.WorkflowExecutionAlreadyStarted
		ended       *temporal.WorkflowExecutionError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &application):
		return ingest.Errorf(ingest.Kind(application.Type()), "%s", application.Message())
	case errors.As(err, &noNamespace):
		return ingest.Wrap(ingest.KindInvalid, err, "the Temporal namespace does not exist: check TEMPORAL_NAMESPACE")
	case errors.As(err, &notFound):
		return ingest.Wrap(ingest.KindMissing, err, "Temporal has no %s", object)
	case errors.As(err, &denied):
		return ingest.Wrap(ingest.KindAuth, err, "access denied by Temporal: check TEMPORAL_API_KEY")
	case errors.As(err, &started):
		return ingest.Wrap(ingest.KindConflict, err, "%s is already running", object)
	case errors.As(err, &unavailable), errors.As(err, &deadline):
		return ingest.Errorf(ingest.KindTransient, "Temporal does not respond: check that it runs (%s)", err)
	case errors.As(err, &ended):
		return ingest.Wrap(ingest.KindTransient, err, "%s was terminated, cancelled or timed out: see its history in Temporal's Web UI", object)
	default:
		return fmt.Errorf("call Temporal: %w", err)
	}
}
