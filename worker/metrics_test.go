package worker_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/activities"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/telemetry"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/worker"
)

// scraped requests the URL with the header Authorization.
func scraped(t *testing.T, url, authorization string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", authorization)
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(body)
}

// value returns the value of one series.
func value(t *testing.T, text, series string) float64 {
	t.Helper()
	_, rest, found := strings.Cut(text, "\n"+series+" ")
	require.True(t, found, "no %s in\n%s", series, text)
	line, _, _ := strings.Cut(rest, "\n")
	number, err := strconv.ParseFloat(line, 64)
	require.NoError(t, err)
	return number
}

// failsOnce is an object store whose first Put fails with a transient error.
type failsOnce struct {
	activities.Objects
	failed atomic.Bool
}

func (o *failsOnce) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	if o.failed.CompareAndSwap(false, true) {
		return ingest.Object{}, ingest.Errorf(ingest.KindTransient, "canary-away")
	}
	return o.Objects.Put(ctx, req)
}

// TestMetrics scrapes a worker that has ingested files, one of them with a second
// attempt.
func TestMetrics(t *testing.T) {
	t.Parallel()
	h := newCluster(t)
	metrics, err := telemetry.NewWorker("v-test")
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg, err := config.Load(config.Options{Environ: append(h.Env, "TEMPORAL_ADDRESS="+os.Getenv("TEMPORAL_ADDRESS"))})
	require.NoError(t, err)
	temporal, err := orchestrator.Dial(h.Context(t), cfg, services.Logger(t), metrics.Temporal())
	require.NoError(t, err)
	defer temporal.Close()
	ctx, stop := context.WithCancel(h.Context(t))
	ended := make(chan error, 1)
	go func() {
		ended <- worker.RunWith(ctx, cfg, temporal, services.Logger(t), worker.Options{
			TaskQueue: h.Queue, Metrics: metrics, Scrapes: listener,
			Wrap: func(d activities.Deps) activities.Deps {
				d.Objects = &failsOnce{Objects: d.Objects}
				return d
			},
		})
	}()
	defer func() {
		stop()
		require.NoError(t, <-ended)
		_, err := net.Dial("tcp", listener.Addr().String())
		require.Error(t, err, "the listener is closed")
	}()

	acme, globex := h.AddServer(t, "acme", sandbox.Staged), h.AddServer(t, "globex", nil)
	acme.Write(t, "canary-one.csv", sandbox.Random(100_000))
	acme.Write(t, "two.csv", sandbox.Random(1_000))
	globex.Write(t, "three.csv", sandbox.Random(500))
	h.ScanAndWait(t)
	h.RequireExactlyOnceSoFar(t)

	url := "http://" + listener.Addr().String()
	status, text := scraped(t, url+"/livez", "")
	require.Equal(t, http.StatusOK, status, text)
	for _, authorization := range []string{"", "Bearer nope", "Basic nope"} {
		status, text = scraped(t, url+"/metrics", authorization)
		require.Equal(t, http.StatusUnauthorized, status)
		require.NotContains(t, text, "stevedore_")
	}
	_, token, err := access.New(h.Store, slog.New(slog.DiscardHandler)).
		CreateToken(h.Context(t), access.NewToken{Name: "prometheus", Role: ingest.RoleViewer})
	require.NoError(t, err)
	status, text = scraped(t, url+"/metrics", "Bearer "+token)
	require.Equal(t, http.StatusOK, status, text)
	require.InDelta(t, 2, value(t, text, `stevedore_files_completed_total{server="acme"}`), 0)
	require.InDelta(t, 1, value(t, text, `stevedore_files_completed_total{server="globex"}`), 0)
	require.Zero(t, value(t, text, `stevedore_staging_files`))
	// Minimums: on a slow machine more attempts may be needed, and then more bytes.
	for series, least := range map[string]float64{
		`stevedore_downloaded_bytes_total{server="acme"}`:                              101_000,
		`stevedore_uploaded_bytes_total{server="acme"}`:                                101_000,
		`stevedore_step_failures_total{kind="transient",step="upload"}`:                1,
		`stevedore_step_attempts_total{step="upload"}`:                                 3,
		`stevedore_step_duration_seconds_count{step="upload"}`:                         2,
		`stevedore_step_attempts_total{step="discover"}`:                               2,
		`stevedore_step_attempts_total{step="download"}`:                               2,
		`stevedore_step_attempts_total{step="verify"}`:                                 2,
		`stevedore_step_attempts_total{step="notify"}`:                                 2,
		`stevedore_step_attempts_total{step="transfer"}`:                               1,
		`stevedore_files_transferred_total{mode="staged"}`:                             2,
		`stevedore_files_transferred_total{mode="memory"}`:                             1,
		`stevedore_staging_size_bytes`:                                                 1,
		`stevedore_database_connections_max`:                                           1,
		`stevedore_database_acquires_total`:                                            1,
		`stevedore_build_info{goversion="` + runtime.Version() + `",version="v-test"}`: 1,
	} {
		require.GreaterOrEqual(t, value(t, text, series), least, series)
	}
	require.Contains(t, text, `temporal_activity_execution_latency_seconds_count{activity_type="Download",`)
	for _, secret := range []string{"canary", token, h.S3.SecretKey, cfg.Database.URL.Reveal()} {
		require.NotContains(t, text, secret)
	}
	for _, f := range h.Files(t) {
		require.False(t, strings.Contains(text, f.UUID) || strings.Contains(text, f.Filename), "no label identifies a file")
	}
}
