package faults_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/api"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/internal/wiring"
	"stevedore/workflows"
)

// TestADeadWorkerIsReported: readiness, scans, actions and audits report it within 30 s,
// although Temporal lists a dead worker for minutes.
func TestADeadWorkerIsReported(t *testing.T) {
	t.Parallel()
	const noWorker = "no worker: start one with `stevedore worker`"
	h := sandbox.NewCluster(t)
	acme := h.AddServer(t, "acme", nil)
	cfg, err := config.Load(config.Options{Environ: append(h.Env, "TEMPORAL_ADDRESS="+os.Getenv("TEMPORAL_ADDRESS"))})
	require.NoError(t, err)
	parts, err := wiring.New(cfg, services.Logger(t), wiring.Options{TaskQueue: h.Queue})
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	served := httptest.NewServer(api.NewHandler(api.Deps{Operations: parts.Operations(), Access: parts.Access(), Token: "a token of a test", Log: services.Logger(t)}))
	t.Cleanup(served.Close)
	call := func(method, path, body string) (status int, answered string) {
		request, err := http.NewRequestWithContext(h.Context(t), method, served.URL+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer a token of a test")
		request.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(text)
	}
	has := func(path, text string) func() bool {
		return func() bool {
			var value struct {
				Error *string
				Parts []struct{ Name, Message string }
			}
			_, body := call("GET", path, "")
			require.NoError(t, json.Unmarshal([]byte(body), &value), body)
			found := ""
			if value.Error != nil {
				found = *value.Error
			}
			for _, part := range value.Parts {
				if part.Name == operations.PartWorker {
					found = part.Message
				}
			}
			return found == text
		}
	}
	process := h.StartProcess(t, sandbox.ProcessOptions{})
	sandbox.Eventually(t, has("/readyz", ""), sandbox.Timeout, 500*time.Millisecond, "the worker runs")
	process.Kill()
	killed := time.Now()

	scan := uuid.NewString()
	_, err = orchestrator.Client{Connect: func(context.Context) (client.Client, error) { return h.Temporal, nil }, TaskQueue: h.Queue}.
		StartScan(h.Context(t), temporalnames.ScanWorkflowID(scan), workflows.ScanAllServersInput{Source: ingest.SourceManual}, 0)
	require.NoError(t, err)
	require.True(t, has("/api/v1/scans/"+scan, "")(), "the heartbeat is fresh")
	sandbox.Eventually(t, has("/api/v1/scans/"+scan, noWorker), 30*time.Second, 500*time.Millisecond, "the scan reports it")
	sandbox.Eventually(t, has("/readyz", noWorker), 5*time.Second, 500*time.Millisecond, "readiness reports it")
	assert.Less(t, time.Since(killed), 31*time.Second)

	// The action is for a file that failed before it had a workflow.
	server, err := h.Store.ServerByName(h.Context(t), "acme")
	require.NoError(t, err)
	_, err = h.Store.Observe(h.Context(t), server.UUID, ingest.SourceManual, []ingest.Observation{{Path: acme.Path("a.csv"), Size: 1, ModTime: time.Unix(1_700_000_000, 0)}})
	require.NoError(t, err)
	file := h.Files(t)[0]
	require.NoError(t, h.Store.Apply(h.Context(t), ingest.Change{
		FileUUID: file.UUID, To: ingest.StatusError, Events: []ingest.Event{{Type: ingest.EventError}},
		Set: ingest.Columns{Error: &ingest.Failure{Kind: ingest.KindUnsettled, Message: "it changes"}},
	}))
	for path, body := range map[string]string{"/api/v1/files/" + file.UUID + ":retry": `{"reason":"again"}`, "/api/v1/audits": "{}"} {
		status, body := call("POST", path, body)
		assert.Equal(t, http.StatusServiceUnavailable, status, path)
		assert.Contains(t, body, noWorker, path)
	}
}
