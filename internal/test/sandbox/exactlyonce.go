package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
)

// RequireExactlyOnce requires that an audit finds no discrepancy between the sources, the
// ledger, the objects and the notifications, and that nothing is left in staging. It
// consumes the messages of the queue.
func (r *Sandbox) RequireExactlyOnce(t testing.TB) {
	t.Helper()
	var evidence audit.Evidence
	ignoredUUIDs, ignoredKeys := map[string]bool{}, map[string]bool{}
	for _, f := range r.Files(t) {
		if r.Ignore != nil && r.Ignore(f) {
			ignoredUUIDs[f.UUID], ignoredKeys[f.ObjectKey] = true, true
			continue
		}
		evidence.Rows = append(evidence.Rows, audit.Row{File: f, Events: r.Events(t, f.UUID)})
	}
	evidence.Objects = slices.DeleteFunc(r.storedObjects(t), func(o audit.StoredObject) bool { return ignoredKeys[o.Key] })
	evidence.Messages = slices.DeleteFunc(r.AMQP.Messages(t), func(m audit.Message) bool { return ignoredKeys[m.Key] })
	evidence.OpenUploads = r.S3.OpenUploads(t)
	for _, dir := range append([]string{r.Cfg.Staging.Dir}, r.OtherStaging...) {
		staged, err := os.ReadDir(filepath.Join(dir, "files"))
		require.NoError(t, err)
		staged = slices.DeleteFunc(staged, func(e os.DirEntry) bool { return ignoredUUIDs[e.Name()] })
		evidence.Staged += len(staged)
	}
	require.Empty(t, audit.Check(r.sourceFiles(t), evidence))
}

func (r *Sandbox) storedObjects(t testing.TB) []audit.StoredObject {
	if r.objects != nil {
		return r.objects()
	}
	return r.S3.Objects(t)
}

// sourceFiles returns the files on the servers, without checksum files.
func (r *Sandbox) sourceFiles(t testing.TB) (files []audit.Source) {
	t.Helper()
	for i, sshd := range r.sources {
		err := filepath.WalkDir(sshd.Root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || strings.HasSuffix(path, ".sha256") || strings.HasSuffix(path, "SHA256SUMS") {
				return err
			}
			size, digest, err := digestFile(path)
			files = append(files, audit.Source{Server: r.names[i], Path: path, Size: size, SHA256: digest})
			return err
		})
		require.NoError(t, err)
	}
	return append(files, r.OtherSources...)
}

// digestFile hashes a file without loading it into memory.
func digestFile(path string) (size int64, digest string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = file.Close() }()
	sum := sha256.New()
	size, err = io.Copy(sum, file)
	return size, hex.EncodeToString(sum.Sum(nil)), err
}
