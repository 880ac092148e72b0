package credentials_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
)

// fitted is a ledger with servers and a canary.
type fitted struct {
	canaries
	servers []ingest.Server
}

func (f *fitted) Servers(context.Context, string, int) ([]ingest.Server, error) {
	return f.servers, nil
}

// A damaged key id concerns only its server, if the keyset fits the rest of the ledger.
func TestDamagedKeyIDConcernsOneServer(t *testing.T) {
	t.Parallel()
	v, path := open(t)
	password, err := v.Seal(credentials.FieldPassword, serverA, []byte("pw"))
	require.NoError(t, err)
	damaged := slices.Clone(password)
	damaged[1] ^= 0xff // the key id
	a, b := with(serverA, damaged, nil), with(serverB, password, nil)
	a.Name = "a"
	withCanary := &fitted{servers: []ingest.Server{a}}
	require.NoError(t, v.Check(t.Context(), withCanary))

	for name, ledger := range map[string]*fitted{"another server fits": {servers: []ingest.Server{a, b}}, "the canary fits": withCanary} {
		found, err := v.Fits(t.Context(), ledger)
		require.NoError(t, err, name)
		require.Len(t, found, 1, name)
		require.ErrorContains(t, found[0], "stevedore server edit a", name)
	}
	for name, servers := range map[string][]ingest.Server{"nothing fits": {a}, "the key seals several values": {with(a, damaged, damaged), b}} {
		_, err := v.Fits(t.Context(), &fitted{servers: servers})
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
		require.ErrorContains(t, err, path, name)
	}
}
