package worker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// onFirst calls do once, before staging space of the first file is reserved.
type onFirst struct {
	activities.Staging
	once *sync.Once
	do   func()
}

func (s onFirst) Reserve(ctx context.Context, fileUUID string, size int64) error {
	s.once.Do(s.do)
	return s.Staging.Reserve(ctx, fileUUID, size)
}

// TestAServersFaultSuspendsItAlone changes a host key while files are in flight. Only
// those files fail, no password is sent, other servers continue, and pinning the new
// key is the only repair needed.
func TestAServersFaultSuspendsItAlone(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.MaxParallel, s.Transfer = 2, ingest.TransferStaged })
	for i := range 6 {
		acme.Write(t, fmt.Sprintf("%d.csv", i), sandbox.Random(1000+i))
	}
	h.StartWorkerWith(t, h.Cfg, func(d activities.Deps) activities.Deps {
		d.Staging = onFirst{d.Staging, &sync.Once{}, func() { acme.RotateHostKey(t) }}
		return d
	})
	h.ScanAndWait(t)

	server, err := h.Store.ServerByName(h.Context(t), "acme")
	require.NoError(t, err)
	assert.Equal(t, ingest.ServerSuspended, server.State)
	assert.Contains(t, server.LastError, "which is not pinned")
	counts := map[ingest.Status]int{}
	for _, f := range h.Files(t) {
		counts[f.Status]++
	}
	assert.LessOrEqual(t, counts[ingest.StatusError], 2, "%v: no more files than slots fail", counts)
	assert.Equal(t, 6, counts[ingest.StatusError]+counts[ingest.StatusReady], "%v", counts)
	globex := h.AddServer(t, "globex", nil)
	globex.Write(t, "other.csv", sandbox.Random(77))
	h.Scan(t)
	h.Completed(t, globex.Path("other.csv"))

	h.Pin(t, server.UUID, acme.HostKeyLine)
	h.ScanAndWait(t)
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, h.Completed(t, f.RemotePath).UUID)
	}
	h.RequireExactlyOnce(t)
}
