package audit

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestTheExpectedEventsAreThoseOfTheChanges records the changes of a file in each mode.
func TestTheExpectedEventsAreThoseOfTheChanges(t *testing.T) {
	t.Parallel()
	var f ingest.File
	started := func(mode ingest.Mode) ingest.Change { return ingest.Started(f, mode, 0, "") }
	transferred := ingest.Transferred(f, ingest.Fetched{}, "transfer", ingest.Object{})
	completed := ingest.Completed(f, ingest.Receipt{}, false)
	for name, c := range map[string]struct {
		mode    ingest.Mode
		changes []ingest.Change
	}{
		"memory": {ingest.ModeMemory, []ingest.Change{started(ingest.ModeMemory), transferred, completed}},
		"staged": {ingest.ModeStaged, []ingest.Change{
			started(ingest.ModeStaged), ingest.Downloaded(f, ingest.Fetched{}, "host"), ingest.Verified(f, "transfer"),
			ingest.UploadStarted(f, "bucket", "key"), ingest.Uploaded(f, ingest.Object{}), completed,
		}},
		"direct, one part": {ingest.ModeDirect, []ingest.Change{started(ingest.ModeDirect), transferred, completed}},
		"direct, in parts": {ingest.ModeDirect, []ingest.Change{
			started(ingest.ModeDirect), ingest.DirectUploadStarted(f, "bucket", "key"), transferred, completed,
		}},
	} {
		order := []ingest.EventType{ingest.EventDiscovered, ingest.EventSettled} // recorded by listings
		for _, change := range c.changes {
			for _, event := range change.Events {
				if !slices.Contains(order, event.Type) { // a repeated event is recorded once
					order = append(order, event.Type)
				}
			}
		}
		require.Equal(t, expectedEvents(c.mode, order), order, name)
	}
}
