package api

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func TestOverviewOnARealLedger(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	empty := b.call("GET", "/api/v1/overview", "")
	require.Equal(t, 200, empty.Code, empty.Body.String())
	require.Contains(t, empty.Body.String(), `"servers":[]`)
	require.Contains(t, empty.Body.String(), `"oldest_in_error":null`)

	file := b.failed(t, b.server(t, "acme"), "/out/a.csv")
	overview := decode[openapi.Overview](t, b.call("GET", "/api/v1/overview", "", "Authorization", "Bearer "+testToken))
	require.Len(t, overview.Hours, 24)
	require.Len(t, overview.Files, len(ingest.Statuses), "every status is there")
	require.EqualValues(t, 1, overview.Files["error"])
	require.Zero(t, overview.InFlight)
	require.Equal(t, file.UUID, overview.OldestInError.FileUUID)
	require.Nil(t, overview.OldestInFlight)
	require.Len(t, overview.Servers, 1)
	acme := overview.Servers[0]
	require.Equal(t, "acme", acme.Name)
	require.False(t, acme.Late, "it was added just now")
	require.EqualValues(t, 1, acme.Files["error"])
	require.Len(t, acme.Hours, 24)
	failures := int64(0)
	for _, hour := range acme.Hours {
		failures += hour.Failures
	}
	require.EqualValues(t, 1, failures)
}
