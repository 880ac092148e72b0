package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestDiscoverFilesStopsWhenItsServerIsPausedOrAtFault: the second listing,
// during a long backlog, is the last, and nothing is started after it.
func TestDiscoverFilesStopsWhenItsServerIsPausedOrAtFault(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second halt
		fails  string
	}{
		"paused":    {halt{paused: true}, ""},
		"refused":   {halt{err: failure(ingest.KindAuth)}, "auth"},
		"no SFTP":   {halt{err: failure(ingest.KindServer)}, "server"},
		"suspended": {halt{err: failure(ingest.KindSuspended)}, "suspended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, p := newEnv(t), newPort(30)
			p.listing.Settling = 1 // not even settling files are looked at
			p.listing.Settle = time.Hour
			p.halts = map[int]halt{2: tc.second}
			p.attachDownloads(env, 50*time.Second)
			began := env.Now()
			discover(env)
			if tc.fails == "" {
				require.NoError(t, env.GetWorkflowError())
			} else {
				require.ErrorContains(t, env.GetWorkflowError(), tc.fails)
			}
			assert.Equal(t, 2, p.listings)
			assert.Len(t, p.started, 6, "two windows in the minute before")
			assert.Less(t, env.Now().Sub(began), 2*time.Minute, "it ends with the files in flight")
		})
	}
}

func TestDiscoverFilesOfAPausedServerEndsAtOnce(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(5)
	p.halts = map[int]halt{1: {paused: true}}
	p.attach(env, takes(time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Empty(t, p.started)
}

// TestDiscoverFilesAsksWhetherMoreMayBeStarted: the server was paused or
// suspended since the last listing.
func TestDiscoverFilesAsksWhetherMoreMayBeStarted(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]activities.Halt{"paused": {Paused: true}, "suspended": {Suspended: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, p := newEnv(t), newPort(5)
			p.listing.Settling = 1
			expect(env, activities.NameNextReadyFiles, activities.NextReadyFilesResult{Halt: answer}).Once()
			p.attach(env, takes(time.Second))
			discover(env)
			require.NoError(t, env.GetWorkflowError())
			assert.Empty(t, p.started)
			assert.Equal(t, 1, p.listings)
		})
	}
}

func TestDiscoverFilesStartsNothingAfterARefusedLookAtSettlingFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		result activities.RecheckSettlingResult
		err    error
	}{"refused": {err: failure(ingest.KindHostKey)}, "paused": {result: activities.RecheckSettlingResult{Paused: true}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, p := newEnv(t), newPort(12)
			p.listing.Settling = 1
			env.OnActivity(activities.NameRecheckSettling, mock.Anything, mock.Anything).Return(tc.result, tc.err).Once()
			p.attachDownloads(env, 30*time.Second)
			discover(env)
			assert.Equal(t, tc.err != nil, env.GetWorkflowError() != nil)
			assert.Len(t, p.started, 3, "those of before")
			assert.Equal(t, 1, p.listings)
		})
	}
}

// TestARescanEndsASuspension: only servers that are due or named are asked for,
// so a person has mended this one; the file that still takes long delays nobody.
func TestARescanEndsASuspension(t *testing.T) {
	t.Parallel()
	for name, forced := range map[string]bool{"due": false, "by force": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env, p := newEnv(t), newPort(3)
			p.listing.MaxParallel = 2
			p.attachDownloads(env, 10*time.Hour)
			env.RegisterDelayedCallback(func() {
				env.SignalWorkflow(workflows.SignalSlotFreed, workflows.SlotFreed{FileUUID: "file-0000", Suspended: true})
			}, 10*time.Second)
			env.RegisterDelayedCallback(func() {
				assert.Equal(t, 1, p.listings, "a suspended server is not listed on schedule")
				assert.Len(t, p.started, 2, "and no place is given to another file")
				env.SignalWorkflow(workflows.SignalRescan, workflows.Rescan{Force: forced})
			}, 5*time.Minute)
			env.RegisterDelayedCallback(func() {
				assert.Len(t, p.started, 3, "a place was free all the time")
			}, time.Hour)
			discover(env)
			require.NoError(t, env.GetWorkflowError())
			assert.Equal(t, []bool{false, forced}, p.forced[:2])
			assert.NotContains(t, p.forced[2:], true, "force is for one listing")
		})
	}
}

// TestSmallFilesDoNotKeepAListingWaiting: one of them has always just ended,
// which must not hide that the time of the next listing has come.
func TestSmallFilesDoNotKeepAListingWaiting(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(30)
	p.halts = map[int]halt{2: {paused: true}}
	p.attach(env, takes(50*time.Second))
	discover(env)
	require.NoError(t, env.GetWorkflowError())
	assert.Less(t, len(p.started), 10, "the second listing, in a minute, says stop")
}

func TestDiscoverFilesForcesItsFirstListingOnly(t *testing.T) {
	t.Parallel()
	env, p := newEnv(t), newPort(3)
	p.attachDownloads(env, 90*time.Second)
	env.ExecuteWorkflow(workflows.NameDiscoverFiles, workflows.DiscoverFilesInput{ServerUUID: serverUUID, Source: "manual", Force: true, Since020: true})
	require.NoError(t, env.GetWorkflowError())
	assert.Equal(t, []bool{true, false}, p.forced)
}
