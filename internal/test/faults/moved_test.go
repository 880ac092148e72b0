package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestFault83_MovedAfterIngest: a partner renames a folder of ingested files and sends a deleted
// file again under another path. Neither is ingested again before a decision; a copy is.
func TestFault83_MovedAfterIngest(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme, globex := h.AddServer(t, "acme", nil), h.AddServer(t, "globex", func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	at := time.Now().Add(-time.Hour)
	write := func(on *services.SSHD, path string, content []byte) {
		on.Write(t, path, content)
		require.NoError(t, os.Chtimes(on.Path(path), at, at))
	}
	for i := range 5 {
		write(acme, fmt.Sprintf("in/%d.bin", i), sandbox.Random(1000+i))
	}
	copied, again := sandbox.Random(2000), sandbox.Random(3000)
	write(acme, "c.bin", copied)
	write(globex, "d.bin", again)
	ingestAll := func() {
		h.ScanAndWait(t)
		for _, f := range h.Files(t) {
			if f.Status != ingest.StatusDiscovered && f.Status != ingest.StatusSuperseded {
				h.AwaitIngest(t, f.UUID)
			}
		}
	}
	// times returns how often each content is stored.
	times := func() map[string]int {
		stored := map[string]int{}
		for _, o := range h.S3.Objects(t) {
			stored[o.SHA256]++
		}
		return stored
	}
	ingestAll()
	require.Len(t, times(), 7)
	require.NoFileExists(t, globex.Path("d.bin"))

	require.NoError(t, os.Rename(acme.Path("in"), acme.Path("archive")))
	write(acme, "copy/c.bin", copied)
	write(globex, "again/d.bin", again)
	ingestAll()
	ingestAll()
	for digest, n := range times() {
		assert.Equal(t, map[bool]int{true: 2, false: 1}[digest == sandbox.Digest(copied)], n, "a moved file is stored twice")
	}
	attention, err := h.Store.Attention(h.Context(t))
	require.NoError(t, err)
	moved := h.File(t, acme.Path("archive/0.bin"), func(f ingest.File) bool { return f.Hold == ingest.HoldHeld })
	assert.EqualValues(t, 5, attention[moved.ServerUUID].Held.Files)
	assert.Contains(t, attention[moved.ServerUUID].LastScan.Note, acme.Path("in/0.bin")+" -> "+acme.Path("archive/0.bin"))
	resent := h.File(t, globex.Path("again/d.bin"), func(f ingest.File) bool { return f.Hold == ingest.HoldHeld })

	for server, decision := range map[string]ingest.ChangesDecision{moved.ServerUUID: ingest.ChangesSame, resent.ServerUUID: ingest.ChangesTake} {
		_, err := h.Store.DecideChanges(h.Context(t), server, decision, ingest.PartMoved, "ann", "asked the partner", "key")
		require.NoError(t, err)
	}
	ingestAll()
	stored := times()
	assert.Len(t, stored, 7)
	assert.Equal(t, 2, stored[sandbox.Digest(again)])
	assert.Equal(t, ingest.StatusSuperseded, h.File(t, acme.Path("archive/0.bin"), func(ingest.File) bool { return true }).Status)
	assert.NoFileExists(t, filepath.Join(globex.Root, "again/d.bin"))
	h.Ignore = func(f ingest.File) bool { return f.ErrorKind == ingest.KindSameContent }
	require.NoError(t, os.Rename(acme.Path("archive"), acme.Path("in"))) // the audit compares with the sources
	for _, path := range []string{"d.bin", "again/d.bin"} {
		h.OtherSources = append(h.OtherSources, audit.Source{Server: "globex", Path: globex.Path(path), Size: 3000, SHA256: sandbox.Digest(again)})
	}
	h.RequireExactlyOnce(t)
}
