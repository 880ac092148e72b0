package worker_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/workflows"
)

// refusing is a broker that refuses the notifications of files that are not in allowed.
// Files that fail at that step accept every operator action.
type refusing struct {
	activities.Publisher
	allowed *sync.Map
}

func (r refusing) Publish(ctx context.Context, a ingest.Notification) (ingest.Receipt, error) {
	if _, allowed := r.allowed.Load(a.File.UUID); !allowed {
		return ingest.Receipt{}, ingest.Errorf(ingest.KindInvalid, "the broker refuses the message")
	}
	return r.Publisher.Publish(ctx, a)
}

// forgery sends a message to Temporal that does not come from stevedore's API.
type forgery func(h *cluster, file ingest.File) error

func forgedSignal(t *testing.T, name string) forgery {
	return func(h *cluster, file ingest.File) error {
		return h.Temporal.SignalWorkflow(h.Context(t), temporalnames.IngestWorkflowID(file.UUID), "", name, workflows.OperatorAction{Actor: "ann", Reason: "forged"})
	}
}

func forgedUpdate(t *testing.T, name string) forgery {
	return func(h *cluster, file ingest.File) error {
		return h.SendUpdate(t, file.UUID, name, workflows.OperatorAction{Actor: "ann", Reason: "forged"})
	}
}

// forgedStart completes the file, deletes its object and starts its workflow again.
func forgedStart(t *testing.T, ask func(*workflows.FileIngestInput, *workflows.OperatorAction)) forgery {
	return func(h *cluster, file ingest.File) error {
		if err := h.SendUpdate(t, file.UUID, workflows.UpdateRetry, workflows.OperatorAction{Actor: "ann", Reason: "forged"}); err != nil {
			return err
		}
		completed := h.Completed(t, file.RemotePath)
		h.AwaitIngest(t, file.UUID)
		if err := h.S3.Core.RemoveObject(h.Context(t), h.S3.Bucket, completed.ObjectKey, minio.RemoveObjectOptions{}); err != nil {
			return err
		}
		in := workflows.FileIngestInput{FileUUID: file.UUID, ServerUUID: file.ServerUUID, Size: file.Size}
		ask(&in, &workflows.OperatorAction{Actor: "ann", Reason: "forged"})
		run, err := h.Temporal.ExecuteWorkflow(h.Context(t), client.StartWorkflowOptions{
			ID: temporalnames.IngestWorkflowID(file.UUID), TaskQueue: h.Queue,
		}, workflows.NameFileIngest, in)
		if err != nil {
			return err
		}
		return run.Get(h.Context(t), nil)
	}
}

// forgeries returns, by operator action, every message that can carry the action to a
// file. The signals of DiscoverFiles carry no actions.
func forgeries(t *testing.T) map[string][]forgery {
	return map[string][]forgery{
		workflows.UpdateRetry: {forgedSignal(t, workflows.UpdateRetry), forgedUpdate(t, workflows.UpdateRetry)},
		workflows.UpdateSkip:  {forgedSignal(t, workflows.UpdateSkip), forgedUpdate(t, workflows.UpdateSkip)},
		workflows.UpdateRenotify: {
			forgedSignal(t, workflows.UpdateRenotify), forgedUpdate(t, workflows.UpdateRenotify),
			forgedStart(t, func(in *workflows.FileIngestInput, d *workflows.OperatorAction) { in.Renotify = d }),
		},
		workflows.UpdateReprocess: {forgedStart(t, func(in *workflows.FileIngestInput, d *workflows.OperatorAction) { in.Reprocess = d })},
	}
}

// TestForgedActionsAreUnverified sends every operator action to Temporal directly,
// bypassing the API. The action is executed; ledger and audit log mark its actor as
// unverified.
func TestForgedActionsAreUnverified(t *testing.T) {
	t.Parallel()
	all := forgeries(t)
	assert.ElementsMatch(t, updatesOfFiles(t), slices.Collect(maps.Keys(all)), "an update of a file that this test does not forge")
	h := newCluster(t)
	var allowed sync.Map
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Publisher = refusing{d.Publisher, &allowed}
		return d
	})
	acme := h.AddServer(t, "acme", nil)
	var names []string
	for action, ways := range all {
		for i := range ways {
			name := action + strings.Repeat("+", i)
			names = append(names, name)
			acme.Write(t, name, sandbox.Random(100+len(names)))
		}
	}
	h.Scan(t)
	for action, ways := range all {
		for i, forge := range ways {
			path := acme.Path(action + strings.Repeat("+", i))
			file := h.Failed(t, path)
			allowed.Store(file.UUID, true)
			require.NoError(t, forge(h, file), path)
			var last ingest.StoredEvent
			sandbox.Eventually(t, func() bool {
				for _, e := range h.Events(t, file.UUID) {
					if e.Type == ingest.EventOperatorAction {
						last = e
					}
				}
				return last.Details["action"] == action
			}, sandbox.Timeout, 50*time.Millisecond, path)
			assert.Equal(t, false, last.Details["verified"], path)
			entries, err := h.Store.AuditLog(h.Context(t), ingest.AuditFilter{Limit: 100})
			require.NoError(t, err)
			assert.True(t, slices.ContainsFunc(entries, func(e ingest.AuditEntry) bool {
				return e.Actor == ingest.Unverified && e.Target == file.UUID && e.Action == "file."+action && e.Details["claimed_actor"] == "ann"
			}), path)
		}
	}
	for _, signal := range []string{workflows.SignalRescan, workflows.SignalFileReady} {
		before, err := h.Store.AuditLog(h.Context(t), ingest.AuditFilter{Limit: 100})
		require.NoError(t, err)
		_ = h.Temporal.SignalWorkflow(h.Context(t), temporalnames.DiscoverWorkflowID(h.Files(t)[0].ServerUUID), "", signal, map[string]any{"actor": "ann"})
		after, err := h.Store.AuditLog(h.Context(t), ingest.AuditFilter{Limit: 100})
		require.NoError(t, err)
		assert.Len(t, after, len(before), "%s carries no operator action", signal)
	}
}

// updatesOfFiles returns the registered names of updates; all are FileIngest's.
func updatesOfFiles(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("../workflows/testdata/names.golden")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if name, found := strings.CutPrefix(strings.TrimSpace(line), "update "); found {
			names = append(names, name)
		}
	}
	return names
}
