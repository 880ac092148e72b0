package scale_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	activitypb "go.temporal.io/api/activity/v1"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// huge is a cluster with one file on an SFTP server in this process.
type huge struct {
	*sandbox.Cluster
	content *services.Pattern
	file    *services.GeneratedFile
	path    string
	// patience bounds each wait; peak bounds the memory of a worker in bytes.
	patience time.Duration
	peak     int64
}

// hugeRun configures the transfer of the file.
type hugeRun struct {
	// step is the activity that is killed; kills is the number of kills.
	step  string
	kills int
	// hosts are the staging folders that the workers use alternately; staged selects the
	// transfer mode.
	hosts  []string
	staged bool
	// cost bounds the bytes that are read again after a kill.
	cost int64
	// seen returns the bytes transferred so far, which determine the time of a kill.
	seen func() int64
	// wrong, if not nil, returns the store's content errors.
	wrong func() []string
}

func (r hugeRun) requireContent(t *testing.T) {
	t.Helper()
	if r.wrong != nil {
		require.Empty(t, r.wrong())
	}
}

func newHuge(t *testing.T, content *services.Pattern, mode func(*ingest.Server)) *huge {
	t.Helper()
	h := &huge{Cluster: sandbox.NewCluster(t), content: content}
	const slowest = 10_000_000 // bytes a second, on a busy machine
	h.patience = sandbox.Timeout + time.Duration(content.Size()/slowest)*time.Second
	h.SetTimeout(5*sandbox.Timeout + 2*h.patience)
	odd := h.AddFaulty(t, "acme", func(s *ingest.Server) { s.Settle = 0; mode(s) })
	h.file, h.path = odd.AddGenerated("huge.bin", content), odd.Path("huge.bin")
	go content.SHA256() // it takes a while
	return h
}

// start starts a worker on the host with the staging folder.
func (h *huge) start(t *testing.T, staging string) *sandbox.Process {
	t.Helper()
	if staging != h.Cfg.Staging.Dir && len(h.OtherStaging) == 0 {
		h.OtherStaging = []string{staging}
	}
	return h.StartProcess(t, sandbox.ProcessOptions{Env: []string{"STEVEDORE_STAGING_DIR=" + staging}})
}

// requireNothingStaged requires that no file has bytes on a disk.
func (h *huge) requireNothingStaged(t *testing.T, hosts []string) {
	t.Helper()
	for _, host := range hosts {
		staged, err := filepath.Glob(filepath.Join(host, "files", "*"))
		require.NoError(t, err)
		assert.Empty(t, staged)
	}
}

// requireObject requires that the ledger has the given checksum of the object; an empty
// checksum accepts any.
func (h *huge) requireObject(t *testing.T, checksum string) {
	t.Helper()
	file := h.Completed(t, h.path)
	assert.Equal(t, ingest.ModeDirect, file.Mode)
	assert.NotEmpty(t, file.Checksum)
	if checksum != "" {
		assert.Equal(t, checksum, file.Checksum)
	}
	_, found, err := h.Store.Transfer(h.Context(t), file.UUID)
	require.NoError(t, err)
	assert.False(t, found, "the checkpoint is gone")
}

// requireRoom fails the test early if the disk has too little free space.
func requireRoom(t *testing.T, bytes int64) {
	t.Helper()
	var disk syscall.Statfs_t
	require.NoError(t, syscall.Statfs(os.TempDir(), &disk))
	require.Greater(t, int64(disk.Bavail)*disk.Bsize, bytes+bytes/10, "free space below %s", os.TempDir())
}

// historyOf returns the number of events of the file's workflow.
func (h *huge) historyOf(t *testing.T, fileUUID string) int {
	t.Helper()
	flow, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "")
	require.NoError(t, err)
	return int(flow.GetWorkflowExecutionInfo().GetHistoryLength())
}

// awaitDetection makes Temporal detect soon that the worker of the activity is gone, which
// otherwise takes 30 s. No worker may run: it would be considered gone too.
func (h *huge) awaitDetection(t *testing.T, activity string) {
	t.Helper()
	id := temporalnames.IngestWorkflowID(h.Files(t)[0].UUID)
	before := h.attempt(t, id, activity)
	h.setHeartbeat(t, id, activity, time.Second)
	var now int32
	sandbox.Eventually(t, func() bool {
		now = h.attempt(t, id, activity)
		return now != before
	}, sandbox.Timeout, 20*time.Millisecond, "the dead worker is not detected")
	if now > before { // else it was the last attempt of its round, and the file is deferred
		h.setHeartbeat(t, id, activity, 30*time.Second)
	}
}

// attempt returns the number of the activity's attempt; 0 when it is not pending.
func (h *huge) attempt(t *testing.T, id, activity string) int32 {
	t.Helper()
	flow, err := h.Temporal.DescribeWorkflowExecution(h.Context(t), id, "")
	require.NoError(t, err)
	for _, pending := range flow.GetPendingActivities() {
		if pending.GetActivityType().GetName() == activity {
			return pending.GetAttempt()
		}
	}
	return 0
}

func (h *huge) setHeartbeat(t *testing.T, id, activity string, timeout time.Duration) {
	t.Helper()
	_, err := h.Temporal.WorkflowService().UpdateActivityOptions(h.Context(t), &workflowservice.UpdateActivityOptionsRequest{
		Namespace: client.DefaultNamespace, Execution: &commonpb.WorkflowExecution{WorkflowId: id}, Identity: "test",
		Activity:        &workflowservice.UpdateActivityOptionsRequest_Type{Type: activity},
		ActivityOptions: &activitypb.ActivityOptions{HeartbeatTimeout: durationpb.New(timeout)},
		UpdateMask:      &fieldmaskpb.FieldMask{Paths: []string{"heartbeat_timeout"}},
	})
	require.NoError(t, err)
}
