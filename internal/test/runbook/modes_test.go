package runbook_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// halfway blocks direct transfers after half of the file until release is closed.
type halfway struct {
	activities.DirectCopier
	release chan struct{}
}

// Read blocks halfway.
func (h halfway) Read(ctx context.Context, req ingest.DirectTransfer) (ingest.SmallFile, error) {
	report := req.Progress
	req.Progress = func(done int64) {
		report(done)
		if done < req.Size/2 {
			return
		}
		select {
		case <-h.release:
		case <-ctx.Done():
		}
	}
	return h.DirectCopier.Read(ctx, req)
}

// TestRecipesForTransferModes shows a file in memory mode and a file in direct mode in
// Temporal's tools.
func TestRecipesForTransferModes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	h, p, _ := newInstallationWith(t, func(d activities.Deps) activities.Deps {
		d.Direct.Copier = halfway{d.Direct.Copier, release}
		return d
	})
	acme := h.AddServer(t, "acme", sandbox.Direct)
	acme.Write(t, "small.csv", sandbox.Random(100))
	acme.Write(t, "large.bin", sandbox.Random(6<<20))
	scan := h.Scan(t)

	// Memory: one local activity, seven events.
	small := h.Completed(t, acme.Path("small.csv"))
	h.AwaitIngest(t, small.UUID)
	history := p.run(t, "show-history", "FILE_UUID", small.UUID)
	assert.Regexp(t, `(?m)^ +5 .*Z  MarkerRecorded`, history)
	assert.Regexp(t, `(?m)^ +7 .*Z  WorkflowExecutionCompleted`, history)
	steps := p.run(t, "show-steps", "FILE_UUID", small.UUID)
	assert.Contains(t, steps, "ActivityType: IngestInMemory\nuserMetadata.summary: move 100 B from acme\n")
	assert.Equal(t, 1, strings.Count(steps, "ctivityType"), "no other activity")

	// Direct: one activity, which reports its progress.
	large := h.File(t, acme.Path("large.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	described := p.until(t, "describe-file", func(out string) bool {
		return has("Transfer", `"total":6291456`)(out) && !strings.Contains(out, `"done":0`)
	}, "FILE_UUID", large.UUID)
	assert.Regexp(t, `Type +Transfer`, described)
	assert.Regexp(t, `LastHeartbeatDetails +\[\{"done":[1-9]\d+,("rate":[\d.e+]+,)?"total":6291456`, described)
	assert.Contains(t, p.run(t, "show-steps", "FILE_UUID", large.UUID), "activityType.name: Transfer\nuserMetadata.summary: transfer 6.0 MiB from acme\n")
	shows(t, p, "ingest/"+large.UUID, "**is being transferred**, step 1 of 2, transfer mode direct",
		"temporal activity pause --workflow-id ingest/"+large.UUID+" --activity-type Transfer")
	p.until(t, "transfer-workers", regexp.MustCompile(`Pollers:\n.*\n +UNVERSIONED +activity`).MatchString)
	dispatcher := p.run(t, "describe-scan", "SERVER_UUID", large.ServerUUID)
	assert.Regexp(t, `Type +DispatchFiles\n +State +Started`, dispatcher)

	close(release)
	h.Completed(t, large.RemotePath)
	h.AwaitScans(t, scan)
	h.RequireExactlyOnce(t)
}
