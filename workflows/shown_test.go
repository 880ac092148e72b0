package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// TestASummaryIsInertAndShort: names of files are the partner's choice, and a
// summary that is too long could keep the workflow from being started.
func TestASummaryIsInertAndShort(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/out/a.csv":          "`/out/a.csv`",
		"/out/`<b>`.csv":      "`/out/\\x60<b>\\x60.csv`",
		"/out/two\nlines":     "`/out/two\\nlines`",
		"":                    "`-`",
		"/out/[c](http://e/)": "`/out/[c](http://e/)`",
	} {
		assert.Equal(t, want, workflows.Shown{Path: path}.Summary())
	}
	for _, long := range []string{strings.Repeat("<", 5000), strings.Repeat("ж", 5000), strings.Repeat("`", 5000), strings.Repeat("a", 361)} {
		summary := workflows.Shown{Path: long}.Summary()
		payload, err := converter.GetDefaultDataConverter().ToPayload(summary)
		require.NoError(t, err)
		assert.LessOrEqual(t, payload.Size(), 400)
		assert.Greater(t, len(summary), 50)
		assert.True(t, strings.HasPrefix(summary, "`") && strings.HasSuffix(summary, "...`"), summary)
		assert.Equal(t, 2, strings.Count(summary, "`"))
	}
}

func TestAMemoHoldsTheWholePath(t *testing.T) {
	t.Parallel()
	path := "/" + strings.Repeat("a", 1000)
	memo, err := json.Marshal(workflows.Shown{ServerName: "acme", Path: path, Size: 7}.Memo())
	require.NoError(t, err)
	assert.JSONEq(t, `{"server":"acme","path":"`+path+`","size":7}`, string(memo))
	assert.Len(t, workflows.Shown{Path: strings.Repeat("a", 10_000)}.Memo()[workflows.MemoPath], 4096)
}

func TestTheStatusFollowsTheSteps(t *testing.T) {
	t.Parallel()
	for size, statuses := range map[int64][]ingest.Status{
		100:       {ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusCompleted},
		300 << 20: {ingest.StatusDownloading, ingest.StatusDownloaded, ingest.StatusUploading, ingest.StatusCompleted},
	} {
		env := newEnv(t)
		in := ingestInput()
		in.Size, in.StatusBySteps = size, true
		expectTransfer(env)
		expectSearch(env, statuses...)
		env.ExecuteWorkflow(workflows.NameFileIngest, in)
		assert.Equal(t, ingest.StatusCompleted, result(t, env))
	}
}

// TestTheStatusSaysThatTheBrokerIsAway: the object is in the store and only its
// announcement waits.
func TestTheStatusSaysThatTheBrokerIsAway(t *testing.T) {
	t.Parallel()
	env := newEnv(t)
	in := ingestInput()
	in.StatusBySteps = true
	env.OnActivity(activities.NameNotify, mock.Anything, mock.Anything).Return(activities.NotifyResult{}, failure(ingest.KindTransient)).Times(2)
	expectTransfer(env)
	expectSearch(env, ingest.StatusDownloading, ingest.StatusUploading, ingest.StatusUploaded, ingest.StatusCompleted)
	env.ExecuteWorkflow(workflows.NameFileIngest, in)
	assert.Equal(t, ingest.StatusCompleted, result(t, env))
}
