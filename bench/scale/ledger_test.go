package scale_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// edge is the beginning (+1) or the end (-1) of an interval.
type edge struct {
	at    time.Time
	delta int
}

// peakOf returns the maximum number of files of the server that were between two events
// at the same time; an empty name means all servers. The ledger records the time at which
// a transaction begins, so an end counts before the beginnings that it allowed.
func peakOf(t *testing.T, h *sandbox.Cluster, server string, from, to ingest.EventType) (peak int) {
	t.Helper()
	var edges []edge
	for _, f := range h.Files(t) {
		if server != "" && f.ServerName != server {
			continue
		}
		for _, e := range h.Events(t, f.UUID) {
			switch e.Type {
			case from:
				edges = append(edges, edge{e.Timestamp, 1})
			case to:
				edges = append(edges, edge{e.Timestamp, -1})
			}
		}
	}
	slices.SortFunc(edges, func(a, b edge) int {
		if order := a.at.Compare(b.at); order != 0 {
			return order
		}
		return a.delta - b.delta
	})
	now := 0
	for _, e := range edges {
		now += e.delta
		peak = max(peak, now)
	}
	return peak
}

// requireNoFailures fails if any attempt of any file has failed.
func requireNoFailures(t *testing.T, h *sandbox.Cluster) {
	t.Helper()
	for _, f := range h.Files(t) {
		for _, e := range h.Events(t, f.UUID) {
			switch e.Type {
			case ingest.EventRetryScheduled, ingest.EventError, ingest.EventDeferred, ingest.EventRequeued:
				require.Fail(t, "an attempt failed", "%s: %s %v", f.RemotePath, e.Type, e.Details)
			}
		}
	}
}
