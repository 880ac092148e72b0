package api

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

// Files and settings of a server that need attention have their own metrics.
func TestMetricsShowFilesThatNeedAttention(t *testing.T) {
	t.Parallel()
	server := ingest.Server{Name: "acme", Active: true, Unread: ingest.Unread{Count: 3}, Left: ingest.ServerLeft{Sources: 4}}
	server.Attention.Held.Files, server.Attention.Resent = 5, 6
	measured := measuredServer(operations.ServerOverview{Server: server}, time.Unix(1, 0))
	metrics, err := telemetry.NewAPI("v1")
	require.NoError(t, err)
	text, err := metrics.Text(telemetry.State{Ledger: &telemetry.Ledger{Servers: []telemetry.Server{measured}}})
	require.NoError(t, err)
	for _, line := range []string{
		`stevedore_server_unread_folders{server="acme"} 3`, `stevedore_server_sources_left{server="acme"} 4`,
		`stevedore_server_changes_held{server="acme"} 5`, `stevedore_server_files_resent{server="acme"} 6`,
	} {
		assert.Contains(t, string(text), line)
	}
}
