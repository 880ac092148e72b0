package transfer

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// Without its volume, no method uses the folder as an empty one. All work again
// under a new lock when the volume is back.
func TestUnmountedFolderIsNotEmpty(t *testing.T) {
	t.Parallel()
	for name, replace := range map[string]func(t *testing.T, dir string){
		"gone":    func(*testing.T, string) {},
		"empty":   func(t *testing.T, dir string) { require.NoError(t, os.Mkdir(dir, 0o700)) },
		"foreign": func(t *testing.T, dir string) { open(t, Config{Dir: dir}) },
		"no id":   func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(filepath.Join(dir, "files"), 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "staging")
			s := open(t, Config{Dir: dir})
			require.NoError(t, s.Check())
			file := uuid.NewString()
			require.NoError(t, s.Reserve(t.Context(), file, 10))
			away := dir + ".away"
			require.NoError(t, os.Rename(dir, away))
			replace(t, dir)

			for method, call := range map[string]func() error{
				"check":   s.Check,
				"reserve": func() error { return s.Reserve(t.Context(), uuid.NewString(), 10) },
				"staged":  func() error { _, err := s.Staged(t.Context(), file); return err },
				"digests": func() error { _, _, err := s.Digests(t.Context(), file, nil, ingest.AlgoSHA256); return err },
				"discard": func() error { return s.Discard(file) },
				"list":    func() error { _, err := s.List(); return err },
				"usage":   func() error { _, err := s.Usage(); return err },
			} {
				err := call()
				require.True(t, ingest.IsKind(err, ingest.KindStagingUnavailable), "%s: %v", method, err)
				require.ErrorContains(t, err, s.HostID(), method)
			}

			require.NoError(t, os.RemoveAll(dir))
			require.NoError(t, os.Rename(away, dir))
			require.NoError(t, s.Check())
			held, err := s.List()
			require.NoError(t, err)
			require.Len(t, held, 1, "the staged file is present")
		})
	}
}

// A copy of the volume has the id but not the lock.
func TestRemountedFolderIsLockedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "staging")
	s := open(t, Config{Dir: dir})
	require.NoError(t, os.Rename(dir, dir+".away"))
	require.NoError(t, os.CopyFS(dir, os.DirFS(dir+".away")))
	require.NoError(t, s.Check())
	_, err := Open(Config{Dir: dir})
	require.ErrorContains(t, err, "is used by another worker")

	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.Rename(dir+".away", dir))
	other := open(t, Config{Dir: dir})
	require.ErrorContains(t, s.Check(), "cannot be locked")
	require.NoError(t, other.Close())
	require.NoError(t, s.Check())
}
