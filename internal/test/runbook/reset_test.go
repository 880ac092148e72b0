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
	y := newParkedFiles(t, sandbox.Staged)
	p := at(y.Cluster, client.DefaultNamespace)
	y.Write("done.csv", sandbox.Random(200))
	y.ScanAndWait()
	done := y.Completed(y.Path("done.csv"))
	y.AwaitIngest(done.UUID)
	files := y.park("over.csv", "step.csv", "skipped.csv")
	over, step, skipped := files[0], files[1], files[2]

	// A file in error is retried, without a recorded actor.
	p.run("reset-first", "FILE_UUID", over.UUID)
	y.Completed(over.RemotePath)
	assert.Nil(t, y.decidedBy(over))

	// The last workflow task of a waiting file is the start of its wait.
	out, err := p.shell("temporal workflow reset --workflow-id ingest/" + step.UUID + " --type LastWorkflowTask --reason test")
	require.NoError(t, err, out)
	p.until("file-details", has("**failed and needs attention**"), "FILE_UUID", step.UUID)

	// The same for a step: the last download.
	p.run("reset-step", "FILE_UUID", step.UUID, "EVENT_ID", lastDownload(t, p.run("show-steps", "FILE_UUID", step.UUID)))
	y.Completed(step.RemotePath)

	// A completed file does not change.
	p.run("update-skip", "FILE_UUID", skipped.UUID)
	y.AwaitIngest(skipped.UUID)
	for _, ended := range []ingest.File{done, skipped} {
		before := y.Events(ended.UUID)
		p.run("reset-first", "FILE_UUID", ended.UUID)
		y.AwaitIngest(ended.UUID)
		assert.Equal(t, before, y.Events(ended.UUID))
	}
	p.run("reset-step", "FILE_UUID", done.UUID, "EVENT_ID", lastDownload(t, p.run("show-steps", "FILE_UUID", done.UUID)))
	y.AwaitIngest(done.UUID)
	assert.Contains(t, p.run("file-details", "FILE_UUID", skipped.UUID), "is **skipped**")
	for _, f := range files {
		y.AwaitIngest(f.UUID)
	}
	assert.EqualValues(t, 1, y.Reconcile().StagingRemoved, "the room that the skipped file's new run took")
	y.requireExactlyOnce(skipped)
}

// lastDownload returns the reset point of the last download in the output of show-steps.
func lastDownload(t *testing.T, steps string) string {
	t.Helper()
	found := regexp.MustCompile(`activityType.name: Download\n(?:userMetadata.*\n)?workflowTaskCompletedEventId: (\d+)`).FindAllStringSubmatch(steps, -1)
	require.NotEmpty(t, found, steps)
	return found[len(found)-1][1]
}
