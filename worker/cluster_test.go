package worker_test

import (
	"testing"

	"stevedore/internal/test/sandbox"
)

// cluster is a sandbox.Cluster that can record histories.
type cluster struct{ *sandbox.Cluster }

func newCluster(t *testing.T) *cluster {
	t.Helper()
	return &cluster{sandbox.NewCluster(t)}
}
