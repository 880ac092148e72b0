package runbook_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestRecipesForResets shows the effects of a reset, and what it does not change.
func TestRecipesForResets(t *testing.T) {
	t.Parallel()
	y := newFailingServer(t, sandbox.Staged)
	p := at(t, y.Cluster, client.DefaultNamespace)
	y.Write(t, "done.csv", sandbox.Random(200))
	y.ScanAndWait(t)
	done := y.Completed(t, y.Path("done.csv"))
	y.AwaitIngest(t, done.UUID)
	files := y.fail(t, "over.csv", "step.csv", "skipped.csv")
	over, step, skipped := files[0], files[1], files[2]

	// A file in error is retried, without a recorded actor.
	p.run(t, "reset-first", "FILE_UUID", over.UUID)
	y.Completed(t, over.RemotePath)
	assert.Nil(t, y.decidedBy(t, over))

	// The last workflow task of a waiting file is the start of its wait.
	out, err := p.shell(t, "temporal workflow reset --workflow-id ingest/"+step.UUID+" --type LastWorkflowTask --reason test")
	require.NoError(t, err, out)
	p.until(t, "file-details", has("**failed and needs attention**"), "FILE_UUID", step.UUID)

	// The same for a step: the last download.
	p.run(t, "reset-step", "FILE_UUID", step.UUID, "EVENT_ID", lastDownload(t, p.run(t, "show-steps", "FILE_UUID", step.UUID)))
	y.Completed(t, step.RemotePath)

	// A completed file does not change.
	p.run(t, "update-skip", "FILE_UUID", skipped.UUID)
	y.AwaitIngest(t, skipped.UUID)
	for _, ended := range []ingest.File{done, skipped} {
		before := y.Events(t, ended.UUID)
		p.run(t, "reset-first", "FILE_UUID", ended.UUID)
		y.AwaitIngest(t, ended.UUID)
		assert.Equal(t, before, y.Events(t, ended.UUID))
	}
	p.run(t, "reset-step", "FILE_UUID", done.UUID, "EVENT_ID", lastDownload(t, p.run(t, "show-steps", "FILE_UUID", done.UUID)))
	y.AwaitIngest(t, done.UUID)
	assert.Contains(t, p.run(t, "file-details", "FILE_UUID", skipped.UUID), "is **skipped**")
	for _, f := range files {
		y.AwaitIngest(t, f.UUID)
	}
	assert.EqualValues(t, 1, y.Reconcile(t).StagingRemoved, "the room that the skipped file's new run took")
	y.requireExactlyOnce(t, skipped)
}

// lastDownload returns the reset point of the last download in the output of show-steps.
func lastDownload(t *testing.T, steps string) string {
	t.Helper()
	found := regexp.MustCompile(`activityType.name: Download\n(?:userMetadata.*\n)?workflowTaskCompletedEventId: (\d+)`).FindAllStringSubmatch(steps, -1)
	require.NotEmpty(t, found, steps)
	return found[len(found)-1][1]
}
