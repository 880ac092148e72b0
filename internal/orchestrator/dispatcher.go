package orchestrator

import (
	"context"
	"errors"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// Dispatcher starts and describes workflows for activities. It implements
// activities.Workflows.
type Dispatcher struct {
	Temporal client.Client
	// TaskQueue is the workers' shared queue.
	TaskQueue string
	// Limits are the sizes that select a file's transfer mode.
	Limits ingest.ModeLimits
}

// StartIngest starts the file's FileIngest with its slot and reports whether it did: not
// if one is open. Small and direct files are started eagerly: the response has the first
// workflow task, which runs here without a poll. Staged files are not, because they are
// staged where the first task runs, and any worker may run it.
func (d Dispatcher) StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (started bool, err error) {
	file := slot.File
	options := workflows.StartIngest(file, server.UUID)
	mode := server.ModeFor(file.Size, d.Limits)
	if file.StagedOn != "" {
		mode = ingest.ModeStaged // some of its bytes are staged
	}
	options.TaskQueue, options.EnableEagerStart = d.TaskQueue, mode != ingest.ModeStaged
	_, err = d.Temporal.ExecuteWorkflow(ctx, options, workflows.NameFileIngest, workflows.FileIngestInput{
		FileUUID: file.UUID, ServerUUID: server.UUID, Size: file.Size, Mode: mode, Slot: slot.Number,
	})
	var running *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &running) {
		return false, nil
	}
	return err == nil, ingest.Wrap(ingest.KindTransient, err, "start the workflow of file %s", file.UUID)
}

// StartScan starts the server's DiscoverFiles eagerly, like StartIngest, and reports
// whether it did. It signals a running one to list again; if that ends meanwhile, the
// signal starts another.
func (d Dispatcher) StartScan(ctx context.Context, server activities.ServerRef, pass activities.StartScansInput) (started bool, err error) {
	in := workflows.DiscoverFilesInput{ServerUUID: server.UUID, Source: pass.Source, RequestedBy: pass.RequestedBy, Force: pass.Force, Pass: pass.Pass}
	options := workflows.StartDiscover(server)
	options.TaskQueue, options.EnableEagerStart = d.TaskQueue, true
	_, err = d.Temporal.ExecuteWorkflow(ctx, options, workflows.NameDiscoverFiles, in)
	var running *serviceerror.WorkflowExecutionAlreadyStarted
	if !errors.As(err, &running) {
		return err == nil, ingest.Wrap(ingest.KindTransient, err, "start the scan of server %s", server.Name)
	}
	options.EnableEagerStart = false
	_, err = d.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalRescan,
		workflows.Rescan{Force: pass.Force, Pass: pass.Pass, Scheduled: pass.Tick > 0, RequestedBy: pass.RequestedBy}, options, workflows.NameDiscoverFiles, in)
	if tooManySignals(err) {
		return false, nil // it has thousands of unread signals
	}
	return false, ingest.Wrap(ingest.KindTransient, err, "signal the scan of server %s to list again", server.Name)
}

// tooManySignals reports whether a workflow has reached Temporal's limit of signals.
func tooManySignals(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	return errors.As(err, &exhausted) && exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT
}

// Wake signals the server's scan that a file is ready. It starts a scan if none runs.
func (d Dispatcher) Wake(ctx context.Context, server ingest.Server) error {
	options := workflows.StartDiscover(activities.ServerRef{UUID: server.UUID, Name: server.Name})
	options.TaskQueue = d.TaskQueue
	_, err := d.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalFileReady,
		workflows.FileReady{}, options, workflows.NameDiscoverFiles,
		workflows.DiscoverFilesInput{ServerUUID: server.UUID, Source: "manual"})
	if tooManySignals(err) {
		return nil // it has thousands of unread signals
	}
	return ingest.Wrap(ingest.KindTransient, err, "signal the scan of server %s", server.Name)
}

// OpenIngests returns the uuids of the files that have an open FileIngest.
func (d Dispatcher) OpenIngests(ctx context.Context, fileUUIDs []string) ([]string, error) {
	var open []string
	for _, uuid := range fileUUIDs {
		described, err := d.Temporal.DescribeWorkflowExecution(ctx, temporalnames.IngestWorkflowID(uuid), "")
		var notFound *serviceerror.NotFound
		if errors.As(err, &notFound) {
			continue
		}
		if err != nil {
			return nil, ingest.Wrap(ingest.KindTransient, err, "describe the workflow of file %s", uuid)
		}
		if running(described) {
			open = append(open, uuid)
		}
	}
	return open, nil
}

// Polled reports whether a worker polls the queue for activities.
func (d Dispatcher) Polled(ctx context.Context, taskQueue string) (bool, error) {
	found, err := polled(ctx, d.Temporal, taskQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY, time.Now())
	return found, ingest.Wrap(ingest.KindTransient, err, "describe the task queue %s", taskQueue)
}
