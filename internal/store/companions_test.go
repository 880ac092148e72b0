package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// accompanied is a file with a done-marker and a checksum file of another time.
func accompanied(size int64, at, companions time.Time) ingest.Observation {
	o := seen("/a.csv", size)
	o.ModTime = at
	o.Sidecar = ingest.Companion{Path: "/a.csv.sha256", Size: 3, ModTime: companions}
	o.Marker = ingest.Companion{Path: "/a.csv.done", ModTime: companions}
	if o.Marker.OlderThan(at) {
		o.WaitsFor = "a done-marker that is not older than the file" // set by listings
	}
	return o
}

// TestACompanionThatCameFirstCoversAFileWithAnOldTime: a client uploads the marker, then the
// file, and finally sets the file's old time. While the client writes, the file is newer than
// the marker, however often it is listed.
func TestACompanionThatCameFirstCoversAFileWithAnOldTime(t *testing.T) {
	t.Parallel()
	for _, states := range []int{0, 1, 3} {
		b := setup(t)
		marker := epoch.Add(time.Hour)
		for n := range states {
			b.observe(t, accompanied(int64(10+n), marker.Add(time.Duration(n+1)*time.Minute), marker))
			f := b.only(t)
			assert.NotEmpty(t, f.WaitsFor, "half-written")
			assert.True(t, f.SidecarStale)
		}
		for range 2 {
			b.observe(t, accompanied(20, epoch, marker))
			f := b.only(t)
			assert.Empty(t, f.WaitsFor, "%d states before", states)
			assert.False(t, f.SidecarStale, "the checksum file belongs to the file")
		}
		promoted, _ := b.promote(t, 0)
		assert.EqualValues(t, 1, promoted)
	}
}

// TestACompanionIsUsedUp: it belongs to one version only, whether that was ingested with
// it, or without it because the server's settings did not require one.
func TestACompanionIsUsedUp(t *testing.T) {
	t.Parallel()
	marker := epoch.Add(time.Hour)
	for name, before := range map[string]ingest.Observation{
		"let through": accompanied(10, epoch.Add(time.Minute), marker),
		"taken": func() ingest.Observation {
			o := accompanied(10, marker.Add(time.Minute), marker)
			o.WaitsFor = ""
			return o
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.ingested(t, before)
			require.Equal(t, ingest.StatusCompleted, b.only(t).Status)
			for n := range 3 { // half-written states, each recorded with it as too old
				b.observe(t, accompanied(int64(20+n), marker.Add(time.Duration(n+2)*time.Minute), marker))
			}
			b.observe(t, accompanied(30, epoch, marker))
			files := b.files(t)
			f := files[len(files)-1]
			assert.EqualValues(t, 30, f.Size)
			assert.Contains(t, f.WaitsFor, "a new done-marker /a.csv.done")
			assert.True(t, f.SidecarStale)
			b.observe(t, accompanied(30, epoch, marker.Add(time.Hour)))
			assert.Empty(t, b.files(t)[len(files)-1].WaitsFor, "a new marker")
		})
	}
}
