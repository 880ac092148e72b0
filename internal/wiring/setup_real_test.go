package wiring

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/services"
)

var quiet = slog.New(slog.DiscardHandler)

// realParts returns parts with an isolated database, bucket, queue and namespace. Bucket
// and queue do not exist yet.
func realParts(t *testing.T) *Parts {
	t.Helper()
	database, bucket, queue := services.Database(t), services.Bucket(t), services.Queue(t)
	require.NoError(t, bucket.Core.RemoveBucket(context.Background(), bucket.Bucket))
	queue.Delete(t)
	cfg, err := config.Load(config.Options{Environ: []string{
		"STEVEDORE_DATABASE_URL=" + database,
		"STEVEDORE_S3_ENDPOINT=" + bucket.Endpoint, "STEVEDORE_S3_ACCESS_KEY=" + bucket.AccessKey, "STEVEDORE_S3_SECRET_KEY=" + bucket.SecretKey,
		"STEVEDORE_S3_BUCKET=" + bucket.Bucket, "STEVEDORE_S3_USE_TLS=" + strconv.FormatBool(bucket.UseTLS),
		"STEVEDORE_AMQP_URL=" + queue.URL, "STEVEDORE_AMQP_QUEUE=" + queue.Queue,
		"STEVEDORE_KEYSET_FILE=" + filepath.Join(t.TempDir(), "keyset.json"),
		"STEVEDORE_SCAN_INTERVAL=1h",
	}})
	require.NoError(t, err)
	require.NoError(t, cfg.Validate(config.ComponentSetup))
	p, err := New(cfg, quiet, Options{})
	require.NoError(t, err)
	temporal, namespace := services.TemporalNamespace(t)
	p.namespace = namespace
	p.temporal = newLazy(func(context.Context) (client.Client, error) { return temporal, nil })
	return p
}

func TestSetupOnRealPartsMayBeRepeated(t *testing.T) {
	t.Parallel()
	p := realParts(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	for round := range 2 {
		var done []string
		err := p.Setup(ctx, func(r StepReport) { done = append(done, fmt.Sprintf("%s: %s %v", r.Name, r.Done, r.Err)) })
		require.NoError(t, err, "%v", done)
		require.Len(t, done, 6)
		for _, line := range done {
			if round == 1 {
				require.Contains(t, line, "already there", "the second run changes nothing")
			}
		}
	}
}

func TestScheduleChangesAndStaysPaused(t *testing.T) {
	t.Parallel()
	p := realParts(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	temporal, err := p.temporal.get(ctx)
	require.NoError(t, err)
	done, err := p.orchestrator().EnsureSchedule(ctx, orchestrator.Scanning(time.Hour))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(done, "created"), done)
	schedule := temporal.ScheduleClient().GetHandle(ctx, temporalnames.ScheduleID)
	require.NoError(t, schedule.Pause(ctx, client.SchedulePauseOptions{Note: "test"}))

	done, err = p.orchestrator().EnsureSchedule(ctx, orchestrator.Scanning(2*time.Hour))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(done, "changed") && strings.Contains(done, "paused"), done)
	described, err := schedule.Describe(ctx)
	require.NoError(t, err)
	require.True(t, described.Schedule.State.Paused, "an operator set the pause")
	require.Equal(t, 2*time.Hour, described.Schedule.Spec.Intervals[0].Every)
}

func TestReadyOnRealPartsNamesPartsThatAreDown(t *testing.T) {
	t.Parallel()
	status := map[string]error{}
	for _, part := range realParts(t).Operations().Ready(context.Background()) {
		status[part.Part] = part.Err
	}
	require.NoError(t, status[operations.PartPostgres])
	require.NoError(t, status[operations.PartTemporal])
	require.ErrorContains(t, status[operations.PartWorker], "stevedore worker")
	require.ErrorContains(t, status[operations.PartObjectStore], "bucket")
	require.ErrorContains(t, status[operations.PartBroker], "queue")
}

// TestFault74_ForeignKeyset: a keyset of another installation is refused by setup, by
// readiness, before credentials are encrypted, and at the start of the service.
func TestFault74_ForeignKeyset(t *testing.T) {
	t.Parallel()
	p, ctx := realParts(t), t.Context()
	require.NoError(t, p.Setup(ctx, func(StepReport) {}, StepDatabase, "keyset"))
	path := p.cfg.Credentials.KeysetFile
	mine, err := os.ReadFile(path)
	require.NoError(t, err)
	ours := p.Operations()
	add := func(a *operations.Service, name string) error {
		_, err := a.AddServer(ctx, operations.NewServer{
			Server:      ingest.Server{Name: name, Host: "sftp.example.com", Username: "u", ScanInterval: time.Minute},
			Credentials: ingest.Credentials{Password: []byte("pw")},
		})
		return err
	}

	require.NoError(t, os.Remove(path))
	started, err := New(p.cfg, quiet, Options{})
	require.NoError(t, err)
	err = started.Setup(ctx, func(StepReport) {}, "keyset")
	require.ErrorContains(t, err, "restore it from your backup", "setup creates no second one")
	require.NoError(t, credentials.Generate(path))
	for name, parts := range map[string]*Parts{"running": p, "started": started} {
		require.ErrorContains(t, parts.CheckKeyset(ctx), "does not belong to this database", name)
		checks := parts.checks()
		i := slices.IndexFunc(checks, func(c operations.Check) bool { return c.Part == operations.PartKeyset })
		require.ErrorContains(t, checks[i].Run(ctx), "does not belong to this database", name)
		a := parts.Operations()
		err := add(a, "refused")
		require.Equal(t, ingest.KindInvalid, ingest.KindOf(err), name)
		require.ErrorContains(t, err, "does not belong to this database", name)
		_, err = a.RotateKey(ctx, operations.RotateRequest{})
		require.ErrorContains(t, err, "does not belong to this database", name)
	}

	require.NoError(t, os.WriteFile(path, mine, 0o600))
	require.NoError(t, p.CheckKeyset(ctx))
	require.NoError(t, add(ours, "taken"))
}

// A damaged key id in one row stops no process; the log names the server.
func TestDamagedCredentialsConcernOneServer(t *testing.T) {
	t.Parallel()
	p, ctx := realParts(t), t.Context()
	require.NoError(t, p.Setup(ctx, func(StepReport) {}, StepDatabase, "keyset"))
	added, err := p.Operations().AddServer(ctx, operations.NewServer{
		Server: ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u"}, Credentials: ingest.Credentials{Password: []byte("pw")},
	})
	require.NoError(t, err)
	_, err = p.store.EditServer(ctx, added.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.PasswordEncrypted[1] ^= 0xff // the key id
		return s, nil
	})
	require.NoError(t, err)
	var log strings.Builder
	p.log = slog.New(slog.NewTextHandler(&log, nil))
	require.NoError(t, p.CheckKeyset(ctx))
	require.Contains(t, log.String(), "stevedore server edit acme")
}

// A test of an edit waits for a connection of the saved server, unless the edit names another
// host.
func TestEditedServerSharesConnections(t *testing.T) {
	t.Parallel()
	p, ctx := realParts(t), t.Context()
	require.NoError(t, p.Setup(ctx, func(StepReport) {}, StepDatabase, "keyset"))
	server := ingest.Server{Name: "acme", Host: "127.0.0.1", Port: 1, Username: "u"}
	server.MaxConnections = 1
	saved, err := p.Operations().AddServer(ctx, operations.NewServer{Server: server, Credentials: ingest.Credentials{Password: []byte("pw")}})
	require.NoError(t, err)
	_, _, err = p.store.OpenConnection(ctx, saved, "a worker", 1)
	require.NoError(t, err)
	probe := func(host string) error {
		within, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		draft := operations.Draft{Server: saved, Saved: &saved, KeepsPassword: true}
		draft.RootPath, draft.Host = "/in", host
		_, err := prober{p}.ProbeDraft(within, draft, false)
		return err
	}
	require.ErrorContains(t, probe(saved.Host), "1 connection in use (a worker")
	require.NotContains(t, probe("127.0.0.2").Error(), "a worker")
}
