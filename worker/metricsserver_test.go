package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

func ask(g *gate, authorization string) int {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Authorization", authorization)
	status, _ := g.check(request)
	return status
}

// TestTokensWhileTheLedgerIsDown: recently accepted tokens remain accepted, because
// metrics are needed during an outage. Unknown and revoked tokens do not.
func TestTokensWhileTheLedgerIsDown(t *testing.T) {
	t.Parallel()
	now, err := time.Unix(1_700_000_000, 0), error(nil)
	role := ingest.RoleViewer
	g := &gate{
		bootstrap: "bootstrap", now: func() time.Time { return now },
		ask: func(context.Context, access.Digest) (ingest.Principal, error) {
			return ingest.Principal{Role: role}, err
		},
	}
	require.Equal(t, 200, ask(g, "Bearer good"))
	require.Equal(t, 200, ask(g, "bearer good"), "the scheme's case does not matter")
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic good", "good"} {
		require.Equal(t, 401, ask(g, header), header)
	}
	role = "wizard"
	require.Equal(t, 403, ask(g, "Bearer other"))

	role, err = ingest.RoleViewer, errors.New("away")
	now = now.Add(trusted - time.Second)
	require.Equal(t, 200, ask(g, "Bearer good"))
	require.Equal(t, 503, ask(g, "Bearer other"))
	require.Equal(t, 200, ask(g, "Bearer bootstrap"))
	now = now.Add(2 * time.Second)
	require.Equal(t, 503, ask(g, "Bearer good"), "trust expires")

	err = nil
	require.Equal(t, 200, ask(g, "Bearer good"))
	err = access.ErrRefused
	require.Equal(t, 401, ask(g, "Bearer good"))
	err = errors.New("away")
	require.Equal(t, 503, ask(g, "Bearer good"), "a revoked token is no longer trusted")
	g.bootstrap = ""
	require.Equal(t, 401, ask(g, "Bearer "))
	require.NotContains(t, g.accepted, sha256.Sum256(nil))
}

func TestFailuresByKind(t *testing.T) {
	t.Parallel()
	benign := temporal.ApplicationErrorOptions{Category: temporal.ApplicationErrorCategoryBenign}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"success":   {nil, ""},
		"cancelled": {temporal.NewCanceledError(), ""},
		"transient": {temporal.NewApplicationError("x", string(ingest.KindTransient)), "transient"},
		"permanent": {temporal.NewNonRetryableApplicationError("x", string(ingest.KindAuth), nil), "auth"},
		"fenced":    {temporal.NewApplicationErrorWithOptions("x", string(ingest.KindFenced), benign), "fenced"},
		"stopped":   {temporal.NewApplicationErrorWithOptions("x", "stopped", benign), ""},
		"foreign":   {errors.New("/a/path"), unknownKind},
	} {
		require.Equal(t, c.want, failureKind(c.err), name)
	}
	require.True(t, elsewhere(temporal.NewApplicationError("x", activities.TypeOtherHost)))
	require.False(t, elsewhere(nil))
	require.False(t, elsewhere(errors.New("x")))
}

func TestListen(t *testing.T) {
	t.Parallel()
	listener, err := listen(t.Context(), "")
	require.NoError(t, err)
	require.Nil(t, listener)
	listener, err = listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, err = listen(t.Context(), listener.Addr().String())
	require.ErrorContains(t, err, "STEVEDORE_WORKER_METRICS_ADDR")
}

// TestUnknownTokensAreLimited: guessing neither loads the ledger nor locks out callers
// with a valid token.
func TestUnknownTokensAreLimited(t *testing.T) {
	t.Parallel()
	asked := 0
	now := time.Unix(1_700_000_000, 0)
	g := &gate{now: func() time.Time { return now }, ask: func(_ context.Context, digest access.Digest) (ingest.Principal, error) {
		asked++
		if digest == access.DigestOf("good") {
			return ingest.Principal{Role: ingest.RoleViewer}, nil
		}
		return ingest.Principal{}, access.ErrRefused
	}}
	require.Equal(t, 200, ask(g, "Bearer good"))
	for i := range 1000 {
		ask(g, fmt.Sprintf("Bearer guess-%d", i))
	}
	require.LessOrEqual(t, asked, unknownTokenBurst)
	require.Equal(t, 429, ask(g, "Bearer another"))
	require.Equal(t, 200, ask(g, "Bearer good"))
	now = now.Add(time.Second)
	require.Equal(t, 401, ask(g, "Bearer another"))
}
