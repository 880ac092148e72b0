package operations

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// Two servers with the same source would store each file twice.
func TestServersThatOverlapAreRefused(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	other := ingest.Server{UUID: "u1", Name: "acme", Host: "sftp.example", Username: "u", Active: true}.WithDefaults(ingest.ServerDefaults{})
	b := setup(other)
	add := NewServer{Server: ingest.Server{Name: "second", Host: "SFTP.example", Username: "u", RootPath: "/in"}, Credentials: ingest.Credentials{Password: []byte("p")}}
	_, err := b.AddServer(ctx, add)
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
	require.ErrorContains(t, err, "server acme ingests the same files")
	require.ErrorContains(t, err, "--allow-overlap")

	add.Server.AllowOverlap = true
	added, err := b.AddServer(ctx, add)
	require.NoError(t, err)
	require.True(t, added.AllowOverlap)

	edit := func(change func(*ingest.Server)) error {
		_, err := b.EditServer(ctx, "acme", AnyVersion, ServerEdit{Settings: change, Password: []byte("q")})
		return err
	}
	require.NoError(t, edit(func(s *ingest.Server) { s.MaxParallel = 8 }), "what is not about the place can be edited")
	err = edit(func(s *ingest.Server) { s.RootPath = "/in/sub" })
	require.Equal(t, ingest.KindConflict, ingest.KindOf(err))
	require.ErrorContains(t, err, "server second")
	require.NoError(t, edit(func(s *ingest.Server) { s.RootPath = "/out" }))
	err = edit(func(s *ingest.Server) { s.AfterIngest = "move:/in" })
	require.ErrorContains(t, err, "where this server moves its files")
	require.NoError(t, edit(func(s *ingest.Server) { s.AfterIngest, s.AllowOverlap = "move:/in", true }))
	require.Equal(t, ingest.KindConflict, ingest.KindOf(edit(func(s *ingest.Server) { s.AllowOverlap = false })))
}
