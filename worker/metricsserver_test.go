package worker

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"stevedore/activities"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// TestRefusals: the reason of a refusal is in the response, the state of the ledger is not.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]struct {
		status int
		text   string
	}{
		access.ErrRefused:                                     {401, "bearer token"},
		&access.TooManyError{Wait: time.Second}:               {429, "wait 1 s"},
		context.DeadlineExceeded:                              {503, "the ledger is not available"},
		ingest.Errorf(ingest.KindTransient, "canary db:5432"): {503, "the ledger is not available"},
	} {
		response := httptest.NewRecorder()
		refuse(response, err)
		require.Equal(t, want.status, response.Code)
		require.Contains(t, response.Body.String(), want.text)
		require.NotContains(t, response.Body.String(), "canary")
	}
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
