package activities_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/test/services"
)

// TestWorkflowsConform runs one suite on Temporal without a worker and on the doubles.
func TestWorkflowsConform(t *testing.T) {
	t.Parallel()
	real := func(t *testing.T) activities.Workflows {
		c, queue := services.Temporal(t)
		return orchestrator.Dispatcher{Temporal: c, TaskQueue: queue}
	}
	for name, c := range map[string]struct {
		open    func(*testing.T) activities.Workflows
		conform func(*testing.T, activities.Workflows)
	}{
		"ingests: Temporal":   {real, conformIngests},
		"ingests: fakeStarts": {func(*testing.T) activities.Workflows { return &fakeStarts{} }, conformIngests},
		"scans: Temporal":     {real, conformScans},
		"scans: fakeScans":    {func(*testing.T) activities.Workflows { return &fakeScans{calls: map[string]int{}} }, conformScans},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.conform(t, c.open(t))
		})
	}
}

func conformIngests(t *testing.T, w activities.Workflows) {
	server := ingest.Server{UUID: uuid.NewString(), Name: "acme"}
	file, other := uuid.NewString(), uuid.NewString()
	start := func(uuid string, number int64) bool {
		started, err := w.StartIngest(t.Context(), server, ingest.Slot{File: ingest.File{UUID: uuid, RemotePath: "/a"}, Number: number})
		require.NoError(t, err)
		return started
	}
	require.True(t, start(file, 1))
	require.False(t, start(file, 2), "the open one does not have the slot")
	open, err := w.OpenIngests(t.Context(), []string{other, file})
	require.NoError(t, err)
	require.Equal(t, []string{file}, open)
	require.True(t, start(other, 1))
	open, err = w.OpenIngests(t.Context(), []string{other, file})
	require.NoError(t, err)
	require.Equal(t, []string{other, file}, open, "in the order of the request")
}

func conformScans(t *testing.T, w activities.Workflows) {
	pass := activities.StartScansInput{Pass: "p", Source: "manual"}
	for _, name := range []string{"a", "b"} {
		server := activities.ServerRef{UUID: uuid.NewString(), Name: name}
		for i := range 3 {
			started, err := w.StartScan(t.Context(), server, pass)
			require.NoError(t, err)
			require.Equal(t, i == 0, started, "later ones request a listing")
		}
	}
}
