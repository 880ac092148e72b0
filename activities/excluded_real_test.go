package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// TestChangedSettingsExcludeSettlingFiles: excluded files end although they were seen before,
// and are found again when the settings are reverted.
func TestChangedSettingsExcludeSettlingFiles(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *bench, s *ingest.Server){
		"include":        func(_ *bench, s *ingest.Server) { s.Include = []string{"**/*.csv"} },
		"exclude":        func(_ *bench, s *ingest.Server) { s.Exclude = []string{"sub/b.txt"} },
		"exclude folder": func(_ *bench, s *ingest.Server) { s.Exclude = []string{"sub"} },
		"root":           func(b *bench, s *ingest.Server) { s.RootPath = b.sshd.Path("sub2") },
		"in progress":    func(_ *bench, s *ingest.Server) { s.InProgressNames = []string{"b.*"} },
		"depth":          func(_ *bench, s *ingest.Server) { s.MaxDepth = 1 },
		"moved to":       func(b *bench, s *ingest.Server) { s.AfterIngest = ingest.AfterIngest("move:" + b.sshd.Path("sub")) },
		"by age":         func(_ *bench, s *ingest.Server) { s.Exclude, s.MinAge = []string{"**/*.txt"}, time.Minute },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.sshd.Write(t, "sub2/keep.csv", []byte("1"))
			path := map[bool]string{true: "sub/deep/b.txt"}[name == "depth"]
			if path == "" {
				path = "sub/b.txt"
			}
			b.write(t, path, "12345", 0)
			before := b.now(t)
			b.set(t, func(s *ingest.Server) { s.MinAge = 24 * time.Hour })
			require.Empty(t, b.list(t, false))
			file := b.File(t, b.sshd.Path(path), func(f ingest.File) bool { return f.Status == ingest.StatusDiscovered })
			b.set(t, func(s *ingest.Server) {
				s.MinAge = 0
				change(b, s)
			})
			if name == "by age" { // no recheck needed
				require.Empty(t, b.list(t, false))
			} else {
				require.Empty(t, b.run(t, activities.NameRecheckSettling, activities.RecheckSettlingInput{ServerUUID: b.server.UUID}))
			}
			now := b.file(t, file)
			assert.Equal(t, ingest.StatusVanished, now.Status)
			assert.Contains(t, now.ErrorMessage, "excluded by changed server settings")

			b.set(t, func(s *ingest.Server) {
				s.Options, s.Include, s.Exclude, s.RootPath = before.Options, nil, nil, before.RootPath
				s.MaxDepth, s.AfterIngest, s.MinAge = before.MaxDepth, before.AfterIngest, 0
			})
			require.Empty(t, b.list(t, false))
			again := b.File(t, b.sshd.Path(path), func(f ingest.File) bool { return f.Status == ingest.StatusReady })
			assert.Equal(t, file.ID, again.ID, "it is the same version")
		})
	}
}
