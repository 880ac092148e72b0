package transfer

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// The cost of a kill is bounded in bytes, however slow the ledger or a part is.
func TestDirectNeverRunsFarAheadOfItsCheckpoint(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]struct{ save, part bool }{
		"slow ledger": {save: true}, "one slow part": {part: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testDistanceToCheckpoint(t, slow.save, slow.part) })
		})
	}
}

func testDistanceToCheckpoint(t *testing.T, slowSave, slowPart bool) {
	want := content(100 * testPart)
	release := make(chan struct{})
	to := sink{before: func(_ context.Context, number int) error {
		if slowPart && number == 2 {
			<-release
		}
		return nil
	}}
	d := newDirect(t, &to, func(cfg *DirectConfig) { cfg.SaveBytes = 8 * testPart })
	var kept saved
	var high atomic.Int64
	req := directOf(want, &kept)
	req.Source = source{answer: func(p []byte, off int64) (int, error) {
		high.Store(max(high.Load(), off+int64(len(p))))
		return copy(p, want[off:]), nil
	}}
	req.Save = func(c ingest.TransferCheckpoint) error {
		if slowSave {
			<-release
		}
		return kept.save(c)
	}
	var result ingest.DirectResult
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		result, err = d.Copy(t.Context(), req)
	}()
	synctest.Wait() // until everything is blocked
	require.LessOrEqual(t, high.Load(), d.MostReadAgain(int64(len(want))))
	require.Greater(t, high.Load(), int64(2*8*testPart), "the transfer continues meanwhile")
	close(release)
	<-ended
	require.NoError(t, err)
	requireDirect(t, &to, &kept, result, want)
}
