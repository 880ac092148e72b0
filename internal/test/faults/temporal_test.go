package faults_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

var describeDefault = &workflowservice.DescribeNamespaceRequest{Namespace: client.DefaultNamespace}

// TestFault59_TemporalKilled kills the Temporal server with SIGKILL under load and
// restarts it on its database. No workflow is lost, and no file needs a reconciliation.
func TestFault59_TemporalKilled(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	own, variable := newOwnTemporal(t, h)
	// The bandwidth is limited so that most files are unfinished when the server is
	// killed, on any machine. The limit is removed afterwards.
	slow, proxy := slowServer(t, h, "slow", 256)
	slow.Write(t, "large.bin", sandbox.Random(32<<20))
	acme, acmeLine := serverBehindProxy(t, h, "acme", 128, nil)
	const small = 120
	for i := range small {
		acme.Write(t, fmt.Sprintf("%03d.csv", i), sandbox.Random(256<<10+i))
	}
	h.StartProcess(t, sandbox.ProcessOptions{Env: []string{variable}})
	scan := h.Scan(t)
	large := h.File(t, slow.Path("large.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	sandbox.Eventually(t, func() bool { return completedFiles(t, h) >= small/10 }, sandbox.Timeout, tick, "the small files are not completed")
	acknowledged := keepStarting(t, h)
	before := historyLengths(t, h)
	own.kill()
	kept := acknowledged()
	done := completedFiles(t, h)
	require.Less(t, done, small, "no small file was in flight at the kill")
	require.Contains(t, before, large.UUID, "the large file is in flight")

	own.start(t)
	for file, length := range historyLengths(t, h) {
		assert.GreaterOrEqual(t, length, before[file], "events of file %s were lost", file)
		delete(before, file)
	}
	assert.Empty(t, before, "workflows of files were lost")
	require.NotEmpty(t, kept, "no start was acknowledged before the kill")
	for _, id := range kept {
		_, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), id, "")
		require.NoError(t, err, "the acknowledged start of %s is lost", id)
	}
	proxy.RemoveToxic(t, "bandwidth")
	acmeLine.RemoveToxic(t, "bandwidth")
	h.AwaitScans(t, scan)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	figure(t, "fault 59: Temporal killed with %d of %d files done and %d other starts acknowledged", done, small+1, len(kept))
	h.RequireExactlyOnce(t)
}

// TestFault59_TemporalRestoredFromAnOlderCopy is the worst power cut: Temporal's database
// is from before most of the work. Workflows started later are lost and workflows that
// have ended since run again. Reconciliation, the dispatcher, which restarts files in flight
// without a workflow after half a minute, and the next scans complete every file.
func TestFault59_TemporalRestoredFromAnOlderCopy(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.SetTimeout(8 * sandbox.Timeout)
	own, variable := newOwnTemporal(t, h)
	slow, proxy := slowServer(t, h, "slow", 32) // minutes for each file, until it is fast again
	acme := h.AddServer(t, "acme", nil)
	slow.Write(t, "copied.bin", sandbox.Random(8<<20))
	writeSmall(t, acme, "copied", 10)
	h.StartProcess(t, sandbox.ProcessOptions{Env: []string{variable, shortHostTimeout}})
	h.Scan(t)
	copiedFile := h.File(t, slow.Path("copied.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	h.Completed(t, acme.Path("copied-009.csv"))
	older := own.copyDatabase(t)

	slow.Write(t, "lost.bin", sandbox.Random(9<<20))
	writeSmall(t, acme, "lost", 20)
	h.Scan(t)
	lost := h.File(t, slow.Path("lost.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusDownloading })
	sandbox.Eventually(t, func() bool { return completedFiles(t, h) >= 15 }, sandbox.Timeout, tick, "the files written after the copy are not completed")
	own.kill()
	own.putBack(t, older)
	own.start(t)
	require.True(t, hasWorkflow(t, h, copiedFile.UUID), "the copy has no workflow of the file that was in flight")
	require.False(t, hasWorkflow(t, h, lost.UUID), "the copy has the later workflows: it is too recent")

	proxy.RemoveToxic(t, "bandwidth")
	requeued := int64(0) // zero if the dispatcher was faster
	sandbox.Eventually(t, func() bool {
		requeued += h.Reconcile(t).Requeued
		h.Scan(t)
		return len(h.Files(t)) == 32 && completedFiles(t, h) == 32
	}, 3*sandbox.Timeout, 2*time.Second, "not every file is completed")
	for _, f := range h.Files(t) {
		if hasWorkflow(t, h, f.UUID) { // workflows of files completed before the loss are gone
			h.AwaitIngest(t, f.UUID)
		}
	}
	sandbox.Eventually(t, func() bool { return h.Reconcile(t).HostsSilent == 0 && largestStaged(h.Cfg.Staging.Dir) == 0 },
		sandbox.Timeout, time.Second, "orphaned staged bytes remain")
	figure(t, "fault 59: with an older copy of Temporal's database %d files were recovered", requeued)
	h.RequireExactlyOnce(t)
}

// keepStarting starts workflows that no worker runs until the returned function is
// called, which returns the ids of acknowledged starts.
func keepStarting(t *testing.T, h *sandbox.Cluster) (stop func() []string) {
	ctx, cancel := context.WithCancel(h.Context(t))
	ended := make(chan []string)
	first := make(chan struct{})
	go func() {
		var ids []string
		for {
			id := "kept/" + uuid.NewString()
			_, err := h.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: h.Queue + "-unused"}, "Kept")
			if err != nil {
				ended <- ids
				return
			}
			if ids = append(ids, id); len(ids) == 1 {
				close(first)
			}
		}
	}()
	select {
	case <-first:
	case <-h.Context(t).Done():
	}
	return func() []string {
		cancel()
		return <-ended
	}
}

func writeSmall(t *testing.T, sshd *services.SSHD, name string, n int) {
	for i := range n {
		sshd.Write(t, fmt.Sprintf("%s-%03d.csv", name, i), sandbox.Random(700+i+len(name)*100))
	}
}

// historyLengths returns the history lengths of all files with a workflow, by uuid.
func historyLengths(t *testing.T, h *sandbox.Cluster) map[string]int64 {
	t.Helper()
	lengths := map[string]int64{}
	for _, f := range h.Files(t) {
		described, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(f.UUID), "")
		var missing *serviceerror.NotFound
		if errors.As(err, &missing) {
			continue
		}
		require.NoError(t, err)
		lengths[f.UUID] = described.GetWorkflowExecutionInfo().GetHistoryLength()
	}
	return lengths
}

func hasWorkflow(t *testing.T, h *sandbox.Cluster, fileUUID string) bool {
	t.Helper()
	_, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "")
	var missing *serviceerror.NotFound
	if errors.As(err, &missing) {
		return false
	}
	require.NoError(t, err)
	return true
}
