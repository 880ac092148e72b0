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
	"stevedore/workflows"
)

// Dispatcher starts and describes workflows for activities. It implements
// activities.Workflows.
type Dispatcher struct {
	Temporal client.Client
	// TaskQueue is the workers' shared queue.
	TaskQueue string
	// Limits choose the transfer mode of a file.
	Limits ingest.ModeLimits
}

// StartIngest starts the file's FileIngest with its slot, and reports false when
// one runs already. A small file is started eagerly: the first workflow task comes
// back with the answer and moves the file here, without a poll. A staged file is
// not: it is staged where its first task runs, and any worker may take that.
func (d Dispatcher) StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (started bool, err error) {
	file := slot.File
	options := workflows.StartIngest(file, server.UUID)
	mode := server.ModeFor(file.Size, d.Limits)
	if file.StagedOn != "" {
		mode = ingest.ModeStaged // its bytes, or some of them, are there
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

// StartScan starts the server's DiscoverFiles, eagerly like StartIngest, or asks the
// one that runs to list once more. One that ends in between is started again.
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
		return false, nil // it has been asked thousands of times
	}
	return false, ingest.Wrap(ingest.KindTransient, err, "ask the scan of server %s to list once more", server.Name)
}

// tooManySignals reports whether a workflow has got all the signals it may have.
func tooManySignals(err error) bool {
	var exhausted *serviceerror.ResourceExhausted
	return errors.As(err, &exhausted) && exhausted.Cause != enumspb.RESOURCE_EXHAUSTED_CAUSE_RPS_LIMIT
}

// Wake makes the server's scan look for ready files, and starts one if none runs.
func (d Dispatcher) Wake(ctx context.Context, server ingest.Server) error {
	options := workflows.StartDiscover(activities.ServerRef{UUID: server.UUID, Name: server.Name})
	options.TaskQueue = d.TaskQueue
	_, err := d.Temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalFileReady,
		workflows.SlotFreed{}, options, workflows.NameDiscoverFiles,
		workflows.DiscoverFilesInput{ServerUUID: server.UUID, Source: "manual"})
	if tooManySignals(err) {
		return nil // it has been woken thousands of times, and looks
	}
	return ingest.Wrap(ingest.KindTransient, err, "wake the scan of server %s", server.Name)
}

// OpenIngests returns those of the files that have an open FileIngest.
func (d Dispatcher) OpenIngests(ctx context.Context, fileUUIDs []string) ([]string, error) {
	var open []string
	for _, uuid := range fileUUIDs {
		described, err := d.Temporal.DescribeWorkflowExecution(ctx, ingest.IngestWorkflowID(uuid), "")
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

// Polled reports whether a worker polls the queue for activities.
func (d Dispatcher) Polled(ctx context.Context, taskQueue string) (bool, error) {
	found, err := polled(ctx, d.Temporal, taskQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY, time.Now())
	return found, ingest.Wrap(ingest.KindTransient, err, "ask Temporal who polls %s", taskQueue)
}
