package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// catchupWindow bounds the delay of a scheduled scan. A later one is useless, because the
// next scan lists everything.
const catchupWindow = time.Minute

// scheduledScanID is the workflow id of scheduled scans; Temporal appends the time.
const scheduledScanID = "scan/schedule"

// searchUsableTimeout bounds the wait until a new search attribute is usable: Temporal
// caches them.
const searchUsableTimeout = time.Minute

func searchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		temporalnames.SearchServer: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		temporalnames.SearchStatus: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		temporalnames.SearchSize:   enumspb.INDEXED_VALUE_TYPE_INT,
	}
}

// EnsureSearchAttributes registers the search attributes and waits until workflows can
// use them. It returns a description of the changes.
func (o Client) EnsureSearchAttributes(ctx context.Context, namespace string) (string, error) {
	c, err := o.connect(ctx)
	if err != nil {
		return "", err
	}
	missing, err := missingAttributes(ctx, c.OperatorService(), namespace)
	if err != nil {
		return "", err
	}
	if len(missing) == 0 {
		return "already there: " + attributeNames(searchAttributes()), awaitUsable(ctx, c, namespace)
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	var exists *serviceerror.AlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return "", classify(err, "namespace "+namespace)
	}
	return "added " + attributeNames(missing), awaitUsable(ctx, c, namespace)
}

// missingAttributes returns the search attributes to be added. An attribute with another
// type is an error, because only an operator can replace it.
func missingAttributes(ctx context.Context, operator operatorservice.OperatorServiceClient, namespace string) (map[string]enumspb.IndexedValueType, error) {
	present, err := operator.ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return nil, classify(err, "namespace "+namespace)
	}
	missing := searchAttributes()
	for name, want := range searchAttributes() {
		have, ok := present.GetCustomAttributes()[name]
		if ok && have != want {
			return nil, ingest.Errorf(ingest.KindInvalid,
				"Temporal's search attribute %s has type %s, not %s: remove it with `temporal operator search-attribute remove --name %s` and run setup again",
				name, have, want, name)
		}
		if ok {
			delete(missing, name)
		}
	}
	return missing, nil
}

func attributeNames(attributes map[string]enumspb.IndexedValueType) string {
	return strings.Join(slices.Sorted(maps.Keys(attributes)), ", ")
}

// awaitUsable repeats a query with every attribute until Temporal accepts it.
func awaitUsable(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, searchUsableTimeout)
	defer cancel()
	query := fmt.Sprintf("%s = 'none' AND %s = 'none' AND %s = 0", temporalnames.SearchServer, temporalnames.SearchStatus, temporalnames.SearchSize)
	for {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: query})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ingest.Wrap(ingest.KindTransient, err, "the search attributes are registered but not usable yet: run setup again in a minute")
		}
	}
}

// Recurring is a workflow with a schedule.
type Recurring struct {
	// ID is the schedule's id.
	ID string
	// WorkflowID is the workflow id of its runs; Temporal appends the time.
	WorkflowID string
	// Workflow is the registered name.
	Workflow string
	// Summary is shown by Temporal's Web UI for each run.
	Summary string
	Every   time.Duration
	Input   any
}

// reconcileEvery is the interval of reconciliations: orphans are rare, and an orphaned
// file waits at most this long.
const reconcileEvery = 10 * time.Minute

// Scanning returns the schedule that scans due servers at the interval.
func Scanning(every time.Duration) Recurring {
	return Recurring{
		ID: temporalnames.ScheduleID, WorkflowID: scheduledScanID, Workflow: workflows.NameScanAllServers, Every: every,
		Summary: "due servers",
		Input:   workflows.ScanAllServersInput{Source: "schedule", Tick: every},
	}
}

// Reconciling returns the schedule of reconciliations.
func Reconciling() Recurring {
	return Recurring{
		ID: temporalnames.ReconcileScheduleID, WorkflowID: "reconcile/schedule", Workflow: workflows.NameReconcile, Every: reconcileEvery,
		Summary: "files without a workflow, orphaned bytes, missing objects",
		Input:   workflows.ReconcileInput{},
	}
}

// EnsureSchedule creates or updates a schedule and returns a description of the changes.
// A pause is kept, because an operator set it.
func (o Client) EnsureSchedule(ctx context.Context, r Recurring) (string, error) {
	c, err := o.connect(ctx)
	if err != nil {
		return "", err
	}
	_, err = c.ScheduleClient().Create(ctx, r.options())
	if err == nil {
		return fmt.Sprintf("created %s, every %s", r.ID, r.Every), nil
	}
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return "", classify(err, "schedule "+r.ID)
	}
	return r.update(ctx, c)
}

func (r Recurring) update(ctx context.Context, c client.Client) (string, error) {
	var paused, changed bool
	err := c.ScheduleClient().GetHandle(ctx, r.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			paused = schedule.State != nil && schedule.State.Paused
			changed = !r.equals(schedule)
			if !changed {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			want := r.options()
			schedule.Spec, schedule.Action = &want.Spec, want.Action
			schedule.Policy = &client.SchedulePolicies{Overlap: want.Overlap, CatchupWindow: want.CatchupWindow}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	if err != nil {
		return "", classify(err, "schedule "+r.ID)
	}
	done := "already there: " + r.ID
	if changed {
		done = "changed " + r.ID
	}
	done += ", every " + r.Every.String()
	if paused {
		done += " (paused by an operator)"
	}
	return done, nil
}

func (r Recurring) options() client.ScheduleOptions {
	return client.ScheduleOptions{
		ID:            r.ID,
		Spec:          client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: r.Every}}},
		Overlap:       enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: catchupWindow,
		Action: &client.ScheduleWorkflowAction{
			ID: r.WorkflowID, Workflow: r.Workflow, TaskQueue: temporalnames.TaskQueue, Args: []any{r.Input}, StaticSummary: r.Summary,
		},
	}
}

// equals reports whether the schedule needs no update. An update would reset the time of
// its next action.
func (r Recurring) equals(schedule client.Schedule) bool {
	action, ok := schedule.Action.(*client.ScheduleWorkflowAction)
	return ok && schedule.Spec != nil && schedule.Policy != nil &&
		action.TaskQueue == temporalnames.TaskQueue && action.StaticSummary == r.Summary && fmt.Sprint(action.Workflow) == r.Workflow &&
		len(schedule.Spec.Intervals) == 1 && schedule.Spec.Intervals[0].Every == r.Every && len(schedule.Spec.Calendars) == 0 &&
		schedule.Policy.Overlap == enumspb.SCHEDULE_OVERLAP_POLICY_SKIP && schedule.Policy.CatchupWindow == catchupWindow
}
