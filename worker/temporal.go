package worker

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
)

// pollFresh is how recent a poll must be to count as a living worker. A long
// poll lasts a minute, so a healthy worker may show an age of just over that.
const pollFresh = 90 * time.Second

// running asks Temporal about workflows and workers for activities.
type running struct {
	client client.Client
	now    func() time.Time
}

// OpenIngests returns those of the files that have an open FileIngest.
func (r running) OpenIngests(ctx context.Context, fileUUIDs []string) ([]string, error) {
	var open []string
	for _, uuid := range fileUUIDs {
		described, err := r.client.DescribeWorkflowExecution(ctx, ingest.IngestWorkflowID(uuid), "")
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			continue
		}
		if err != nil {
			return nil, ingest.Wrap(ingest.KindTransient, err, "ask Temporal about the workflow of file %s", uuid)
		}
		if described.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			open = append(open, uuid)
		}
	}
	return open, nil
}

// Polled reports whether any worker has polled the activity queue lately.
func (r running) Polled(ctx context.Context, taskQueue string) (bool, error) {
	described, err := r.client.DescribeTaskQueue(ctx, taskQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil {
		return false, ingest.Wrap(ingest.KindTransient, err, "ask Temporal who polls %s", taskQueue)
	}
	for _, poller := range described.GetPollers() {
		if r.now().Sub(poller.GetLastAccessTime().AsTime()) < pollFresh {
			return true, nil
		}
	}
	return false, nil
}
