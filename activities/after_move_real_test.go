package activities_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// ingestAll ingests files of an odd server, each with its path as content.
func (b *treeBench) ingestAll(t *testing.T, paths ...string) (files []ingest.File) {
	t.Helper()
	for _, p := range paths {
		b.tree.File(p, p)
	}
	require.Empty(t, b.list(t, false))
	for _, p := range paths {
		files = append(files, b.ingest(t, b.File(t, b.tree.Path(p), func(f ingest.File) bool { return f.Status == ingest.StatusReady })))
	}
	return files
}

// runAfterIngest runs the after-ingest actions of the files concurrently.
func (b *treeBench) runAfterIngest(t *testing.T, files []ingest.File) {
	t.Helper()
	var all sync.WaitGroup
	for _, f := range files {
		var suite testsuite.WorkflowTestSuite
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivityWithOptions(b.acts.AfterIngest, activity.RegisterOptions{Name: activities.NameAfterIngest})
		all.Go(func() {
			_, err := env.ExecuteActivity(activities.NameAfterIngest, activities.AfterIngestInput{FileUUID: f.UUID})
			assert.NoError(t, err)
		})
	}
	all.Wait()
}

// movedTo returns the recorded target of the move, and the content there.
func (b *treeBench) movedTo(t *testing.T, f ingest.File) (to, content string) {
	t.Helper()
	to, _ = sandbox.Detail(b.Events(t, f.UUID), ingest.EventSourceDone, "moved_to").(string)
	content, _ = b.tree.Content(to)
	return to, content
}

// TestConcurrentMovesToOneName: no file is lost, even if RENAME overwrites and takes time.
func TestConcurrentMovesToOneName(t *testing.T) {
	t.Parallel()
	for _, collision := range []ingest.Collision{ingest.CollisionRename, ingest.CollisionOverwrite} {
		t.Run(string(collision), func(t *testing.T) {
			t.Parallel()
			b := newTreeBench(t)
			const count = 4
			b.set(t, func(s *ingest.Server) {
				s.AfterIngest, s.OnCollision, s.MaxConnections = "move:/in/done", collision, 2*count
			})
			b.tree.Folder("done")
			var paths []string
			for i := range count {
				paths = append(paths, fmt.Sprintf("f%d/a.csv", i))
			}
			files := b.ingestAll(t, paths...)

			// No move ends before all have started.
			var begun sync.WaitGroup
			begun.Add(count)
			b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
				if r.Op == "RENAME" {
					begun.Done()
					begun.Wait()
				}
				return 0
			}})
			b.runAfterIngest(t, files)

			var names []string
			for i, f := range files {
				to, content := b.movedTo(t, f)
				assert.Equal(t, paths[i], content, "%s is at the recorded path", paths[i])
				names = append(names, path.Base(to))
			}
			slices.Sort(names)
			assert.Len(t, slices.Compact(names), count)
			assert.Contains(t, names, "a.csv", "one of the files keeps its name")
		})
	}
}

// TestOverwriteReplacesTheSamePathOnly: `overwrite` replaces an earlier version of the same
// path and files of the partner, but no file of another folder.
func TestOverwriteReplacesTheSamePathOnly(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest, s.OnCollision = "move:/in/done", ingest.CollisionOverwrite })
	b.tree.Folder("done")
	b.tree.File("done/a.csv", "the partner's")
	files := b.ingestAll(t, "f0/a.csv", "f1/a.csv")
	for _, f := range files {
		b.runAfterIngest(t, []ingest.File{f})
	}
	first, content := b.movedTo(t, files[0])
	assert.Equal(t, "/in/done/a.csv", first)
	assert.Equal(t, "f0/a.csv", content)
	second, content := b.movedTo(t, files[1])
	assert.Equal(t, "/in/done/"+files[1].UUID+"-a.csv", second)
	assert.Equal(t, "f1/a.csv", content)

	b.tree.File("f0/a.csv", "longer: a new version")
	require.Empty(t, b.list(t, false))
	again := b.ingest(t, b.File(t, "/in/f0/a.csv", func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	b.runAfterIngest(t, []ingest.File{again})
	to, content := b.movedTo(t, again)
	assert.Equal(t, "/in/done/a.csv", to)
	assert.Equal(t, "longer: a new version", content)

	require.True(t, b.tree.Drop("done/a.csv"), "the partner removes the moved file")
	b.tree.File("f1/a.csv", "also a new version")
	require.Empty(t, b.list(t, false))
	other := b.ingest(t, b.File(t, "/in/f1/a.csv", func(f ingest.File) bool { return f.Status == ingest.StatusReady }))
	b.runAfterIngest(t, []ingest.File{other})
	to, _ = b.movedTo(t, other)
	assert.Equal(t, "/in/done/a.csv", to, "the name is released")
}

// TestAMoveOnAServerThatIgnoresCase: the folder of moved files has another spelling in
// listings, and is not listed; the listed folder in another case is not a target. A
// server that distinguishes case has other folders there.
func TestAMoveOnAServerThatIgnoresCase(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		target      ingest.AfterIngest
		ignoresCase bool
		stays       bool
		listed      int
	}{
		"the target":                       {"move:/in/done", true, false, 1},
		"the root and the target":          {"move:/IN/done", true, false, 1},
		"the listed folder":                {"move:/In", true, true, 2},
		"a server that distinguishes case": {"move:/in/done", false, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTreeBench(t)
			b.set(t, func(s *ingest.Server) {
				s.AfterIngest, s.OnCollision, s.Moved = tc.target, ingest.CollisionOverwrite, ingest.MovedDeliver
			})
			b.tree.SetFaults(services.TreeFaults{IgnoresCase: tc.ignoresCase, PlainPaths: true})
			b.tree.File("Done/a.csv", "of yesterday")
			if !tc.ignoresCase {
				b.tree.Folder("done")
			}
			files := b.ingestAll(t, "a.csv")
			b.runAfterIngest(t, files)
			assert.Equal(t, tc.stays, b.tree.Has("a.csv"))
			require.Empty(t, b.list(t, false))
			require.Empty(t, b.list(t, false))
			all, err := b.Store.Files(b.Context(t), ingest.FileFilter{Server: "odd"})
			require.NoError(t, err)
			assert.Len(t, all, tc.listed)
		})
	}
}

// TestAnotherSpellingOfTheRootIsNoDelivery: an edit may spell the root folder by a link or in
// another case. The known files are held, although they exist at both paths.
func TestAnotherSpellingOfTheRootIsNoDelivery(t *testing.T) {
	t.Parallel()
	for root, ignoresCase := range map[string]bool{"/alias": false, "/IN": true} {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			b := newTreeBench(t)
			b.ingestAll(t, "a.csv")
			b.tree.Link("../alias", "/in")
			b.tree.SetFaults(services.TreeFaults{IgnoresCase: ignoresCase, PlainPaths: ignoresCase})
			b.set(t, func(s *ingest.Server) { s.RootPath = root })
			for range 2 {
				require.Empty(t, b.list(t, false))
			}
			f := b.File(t, root+"/a.csv", func(ingest.File) bool { return true })
			assert.Equal(t, ingest.StatusDiscovered, f.Status)
			assert.Equal(t, ingest.HoldHeld, f.Hold)
		})
	}
}

// TestATargetNameIsReleased: the reservation of the name ends with the move.
func TestATargetNameIsReleased(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest, s.Moved = "move:/in/done", ingest.MovedDeliver })
	b.tree.Folder("done")
	for _, p := range []string{"f0/a.csv", "f1/a.csv"} { // the two files have the same size and time
		f := b.ingestAll(t, p)
		b.runAfterIngest(t, f)
		to, content := b.movedTo(t, f[0])
		assert.Equal(t, "/in/done/a.csv", to)
		assert.Equal(t, p, content)
		require.True(t, b.tree.Drop("done/a.csv"), "the partner removes the moved file")
	}
}

// TestALongNameIsShortened: with the uuid as prefix it would exceed the limit of file systems.
func TestALongNameIsShortened(t *testing.T) {
	t.Parallel()
	b := newTreeBench(t)
	b.set(t, func(s *ingest.Server) { s.AfterIngest, s.DoneMarker = "move:/in/done", "*.done" })
	name := strings.Repeat("ж", 120) + ".csv"
	b.tree.File("done/"+name, "taken")
	b.tree.File(name+".done", "")
	f := b.ingestAll(t, name)[0]
	b.tree.SetFaults(services.TreeFaults{Request: func(r services.TreeRequest) uint32 {
		if len(path.Base(r.Path)) > 255 {
			return services.StatusFailure
		}
		return 0
	}})
	b.runAfterIngest(t, []ingest.File{f})
	to, content := b.movedTo(t, f)
	assert.Equal(t, name, content)
	assert.LessOrEqual(t, len(path.Base(to)), 255)
	assert.True(t, strings.HasPrefix(path.Base(to), f.UUID+"-ж") && strings.HasSuffix(to, "ж.csv"), to)
	_, there := b.tree.Content(to + ".done")
	assert.True(t, there, "its done-marker has the same prefix")
}
