package worker_test

import (
	"testing"

	"stevedore/internal/test/sandbox"
)

// cluster adds to a sandbox.Cluster that histories can be recorded.
type cluster struct{ *sandbox.Cluster }

func newHarbour(t *testing.T) *cluster {
	t.Helper()
	return &cluster{sandbox.NewCluster(t)}
}
