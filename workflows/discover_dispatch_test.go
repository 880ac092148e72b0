package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestDiscoverFilesDispatchesForEachFileThatIsReady: the dispatcher may have polled for the
// last time just before.
func TestDiscoverFilesDispatchesForEachFileThatIsReady(t *testing.T) {
	t.Parallel()
	wake := func(after time.Duration) func(*script) {
		return func(s *script) {
			s.at(after, func() { s.env.SignalWorkflow(workflows.SignalFileReady, workflows.FileReady{FileUUID: fileUUID}) })
		}
	}
	settles := func(takes time.Duration) func(*script) {
		return func(s *script) {
			s.listings = []listing{{settling: 1}}
			s.rechecks = []recheck{{takes: takes, result: activities.RecheckSettlingResult{Ready: 1}}}
		}
	}
	for name, tc := range map[string]struct {
		happens func(*script)
		want    []string
	}{
		"nothing happens": {
			func(*script) {}, []string{"0s list", "0s dispatch", "15s end"},
		},
		"a file is ready while a dispatcher runs": {
			wake(5 * time.Second), []string{"0s list", "0s dispatch", "15s dispatch", "15s end"},
		},
		"a file settles while a dispatcher runs": {
			settles(0), []string{"0s list", "0s dispatch", "10s recheck", "15s dispatch", "15s end"},
		},
		"a dispatcher ends while a file settles": {
			settles(10 * time.Second), []string{"0s list", "0s dispatch", "10s recheck", "20s dispatch", "20s end"},
		},
		"a dispatcher ends while the server is listed": {
			func(s *script) {
				s.settings.ScanInterval = 10 * time.Second
				s.listings = []listing{{}, {takes: 20 * time.Second}}
			},
			[]string{"0s list", "0s dispatch", "10s list", "30s dispatch", "30s end"},
		},
		"a file is ready while none runs": {
			func(s *script) {
				s.settings.Settle = time.Minute
				s.listings = []listing{{settling: 1}}
				wake(40 * time.Second)(s)
			},
			[]string{"0s list", "0s dispatch", "40s dispatch", "1m0s recheck", "1m0s end"},
		},
		"no file has settled": {
			func(s *script) { s.listings = []listing{{settling: 1}} },
			[]string{"0s list", "0s dispatch", "10s recheck", "15s end"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.settings.ScanInterval = time.Hour
			s.dispatchers = []dispatcher{{takes: 15 * time.Second}}
			tc.happens(s)
			s.summary(t)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

// TestDiscoverFilesDispatchesAfterASignalWithoutPayload sends the signal like an operator
// with Temporal's CLI.
func TestDiscoverFilesDispatchesAfterASignalWithoutPayload(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: 15 * time.Second}}
	s.at(time.Second, func() { s.env.SignalWorkflow(workflows.SignalFileReady, nil) })
	s.summary(t)
	assert.Equal(t, []string{"0s list", "0s dispatch", "15s dispatch", "15s end"}, s.log)
}

// TestDiscoverFilesWaitsForDeferredFiles: the next scan may be a day later.
func TestDiscoverFilesWaitsForDeferredFiles(t *testing.T) {
	t.Parallel()
	deferred := dispatcher{takes: time.Minute, result: activities.DispatchFilesResult{Started: 1, DeferredFor: 4 * time.Minute}}
	done := dispatcher{takes: time.Minute, result: activities.DispatchFilesResult{Started: 1}}
	for name, tc := range map[string]struct {
		wake        time.Duration
		dispatchers []dispatcher
		want        []string
	}{
		"until then": {0, []dispatcher{deferred},
			[]string{"0s list", "0s dispatch", "5m0s dispatch", "5m0s end"}},
		"another file comes first": {2 * time.Minute, []dispatcher{deferred, deferred},
			[]string{"0s list", "0s dispatch", "2m0s dispatch", "7m0s dispatch", "7m0s end"}},
		"a file is ready meanwhile": {30 * time.Second, []dispatcher{deferred, deferred},
			[]string{"0s list", "0s dispatch", "1m0s dispatch", "6m0s dispatch", "6m0s end"}},
		"an operator was first": {2 * time.Minute, []dispatcher{deferred, done},
			[]string{"0s list", "0s dispatch", "2m0s dispatch", "3m0s end"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.settings.ScanInterval = 24 * time.Hour
			s.dispatchers = tc.dispatchers
			if tc.wake > 0 {
				s.at(tc.wake, func() { s.env.SignalWorkflow(workflows.SignalFileReady, workflows.FileReady{FileUUID: fileUUID}) })
			}
			assert.EqualValues(t, len(s.dispatchers), s.summary(t).Started)
			assert.Equal(t, tc.want, s.log)
		})
	}
}

func TestDiscoverFilesEndsWithAFailedDispatcher(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listings = []listing{{settling: 1}}
	s.dispatchers = []dispatcher{{takes: 5 * time.Second, err: failure(ingest.KindInvalid)}}
	s.run(workflows.DiscoverFilesInput{})
	require.ErrorContains(t, s.env.GetWorkflowError(), "it failed: invalid")
	assert.Equal(t, []string{"0s list", "0s dispatch", "5s end"}, s.log)
}

// TestDiscoverFilesRetriesADispatcher: a shutdown, an unavailable database and a fenced
// dispatcher do not end the scan.
func TestDiscoverFilesRetriesADispatcher(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{
		{err: temporal.NewApplicationError("stops", activities.TypeStopped)},
		{err: failure(ingest.KindTransient)}, {err: failure(ingest.KindFenced)},
		{result: activities.DispatchFilesResult{Started: 4}},
	}
	assert.EqualValues(t, 4, s.summary(t).Started)
	assert.Equal(t, []string{"0s list", "0s dispatch", "1s dispatch", "3s dispatch", "7s dispatch", "7s end"}, s.log)
}

// TestDiscoverFilesReplacesACrashedDispatcherSoon: until then no file is started.
func TestDiscoverFilesReplacesACrashedDispatcherSoon(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	options := recordOptions(s.env)
	s.summary(t)
	dispatching := options.of(t, activities.NameDispatchFiles)
	assert.LessOrEqual(t, dispatching.HeartbeatTimeout, 10*time.Second)
	assert.Zero(t, dispatching.RetryPolicy.MaximumAttempts, "the attempts of a dispatcher are not limited")
	assert.True(t, dispatching.WaitForCancellation, "the next run starts another one")
}

func TestDiscoverFilesEndsWhenCancelled(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.dispatchers = []dispatcher{{takes: time.Hour}}
	s.at(20*time.Second, s.env.CancelWorkflow)
	s.run(workflows.DiscoverFilesInput{})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, s.env.GetWorkflowError(), &cancelled)
	assert.Equal(t, "20s end", s.log[len(s.log)-1])
}

// TestTheHistoryOfAScanStaysSmall: files that become ready while a dispatcher runs add
// signals, and neither timers nor activities.
func TestTheHistoryOfAScanStaysSmall(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.settings.ScanInterval, s.settings.Settle = 10*time.Minute, time.Hour
	s.listings = []listing{{settling: 1}, {settling: 1}, {settling: 1}}
	s.dispatchers = []dispatcher{{takes: 25 * time.Minute}}
	timers := 0
	s.env.SetOnTimerScheduledListener(func(string, time.Duration) { timers++ })
	for i := range 490 {
		s.at(time.Duration(i+1)*3*time.Second-time.Millisecond, func() { s.env.SignalWorkflow(workflows.SignalFileReady, nil) })
	}
	s.at(26*time.Minute, s.env.CancelWorkflow)
	s.run(workflows.DiscoverFilesInput{})
	assert.Equal(t, []string{"0s list", "0s dispatch", "10m0s list", "20m0s list", "25m0s dispatch", "26m0s end"}, s.log)
	assert.Equal(t, 6, timers, "one for the settle time and one for the interval after each listing")
}
