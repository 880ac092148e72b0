package worker_test

import (
	"testing"

	"stevedore/internal/rig"
)

// harbour adds to a rig.Harbour that histories can be recorded.
type harbour struct{ *rig.Harbour }

func newHarbour(t *testing.T) *harbour {
	t.Helper()
	return &harbour{rig.NewHarbour(t)}
}
