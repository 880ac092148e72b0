package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestABrokenServerDoesNotFailItsScan: the scan completes, with the cause in its summary,
// search attribute and details. A later listing that succeeds removes it.
func TestABrokenServerDoesNotFailItsScan(t *testing.T) {
	t.Parallel()
	broken := func(kind ingest.Kind) listing { return listing{err: failure(kind)} }
	for name, tc := range map[string]struct {
		listings []listing
		carried  *ingest.Failure // failure of the previous run
		fails    ingest.Kind
		statuses []ingest.Status
	}{
		"connection refused": {[]listing{broken(ingest.KindTransient), broken(ingest.KindTransient), broken(ingest.KindTransient)}, nil, ingest.KindTransient, []ingest.Status{ingest.StatusError}},
		"login refused":      {[]listing{broken(ingest.KindAuth)}, nil, ingest.KindAuth, []ingest.Status{ingest.StatusError}},
		"suspended":          {[]listing{broken(ingest.KindSuspended)}, nil, ingest.KindSuspended, []ingest.Status{ingest.StatusError}},
		"no access":          {[]listing{broken(ingest.KindPermission)}, nil, ingest.KindPermission, []ingest.Status{ingest.StatusError}},
		"no jump host":       {[]listing{broken(ingest.KindMissing), broken(ingest.KindMissing), broken(ingest.KindMissing)}, nil, ingest.KindMissing, []ingest.Status{ingest.StatusError}},
		"second listing":     {[]listing{{}, broken(ingest.KindPermission)}, nil, ingest.KindPermission, []ingest.Status{ingest.StatusError}},
		"requested again":    {[]listing{broken(ingest.KindPermission), {}}, nil, "", []ingest.Status{ingest.StatusError, ""}},
		"previous run":       {[]listing{{}}, &ingest.Failure{Kind: ingest.KindPermission}, "", []ingest.Status{""}},
		"healthy":            {[]listing{{}}, nil, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			statuses := statusesOf(s.env)
			s.listings, s.dispatchers = tc.listings, []dispatcher{{takes: 90 * time.Second}}
			var in workflows.DiscoverFilesInput
			switch name {
			case "requested again":
				s.listings[0].takes = 10 * time.Second
				s.at(5*time.Second, func() { s.env.SignalWorkflow(workflows.SignalRescan, nil) })
			case "previous run":
				in.Carried = &workflows.DiscoverState{
					Server: s.settings, ListedAt: s.began, ListDue: true, Summary: workflows.DiscoverSummary{Failure: tc.carried},
				}
			}
			s.run(in)
			s.requireFailure(t, tc.fails)
			assert.Equal(t, tc.statuses, *statuses)
			if tc.fails != "" {
				assert.Contains(t, details(t, s.env), "The last listing failed: `it failed: "+string(tc.fails)+"`")
			}
		})
	}
}

// TestAFailureOfStevedoreFailsTheScan: the scan ends with a panic, a timeout, or a kind
// of error that no server causes.
func TestAFailureOfStevedoreFailsTheScan(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"timeout": temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_HEARTBEAT, nil),
		"unknown": temporal.NewNonRetryableApplicationError("broken", "wrapError", errors.New("broken")),
		"fenced":  failure(ingest.KindFenced),
		"drained": temporal.NewNonRetryableApplicationError("stops", activities.TypeStopped, nil),
		"panic":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			for range 60 {
				s.listings = append(s.listings, listing{err: err, panics: err == nil})
			}
			s.run(workflows.DiscoverFilesInput{})
			require.Error(t, s.env.GetWorkflowError())
		})
	}
}
