package wiring

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/audit"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/operations"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// audited is an isolated ledger, bucket and SFTP server, and the
// Service that audits them.
type audited struct {
	*operations.Service
	store   *store.Store
	objects *objstore.Store
	sealer  *credentials.Sealer
	s3      services.S3
	sshd    *services.SSHD
	server  ingest.Server
}

func newAudited(t *testing.T) *audited {
	t.Helper()
	w := &audited{s3: services.Bucket(t)}
	keys := filepath.Join(t.TempDir(), "keyset.json")
	require.NoError(t, credentials.Generate(keys))
	cfg, err := config.Load(config.Options{Environ: []string{
		"STEVEDORE_DATABASE_URL=" + services.Database(t),
		"STEVEDORE_S3_ENDPOINT=" + w.s3.Endpoint, "STEVEDORE_S3_ACCESS_KEY=" + w.s3.AccessKey, "STEVEDORE_S3_SECRET_KEY=" + w.s3.SecretKey,
		"STEVEDORE_S3_BUCKET=" + w.s3.Bucket, "STEVEDORE_S3_USE_TLS=" + strconv.FormatBool(w.s3.UseTLS),
		"STEVEDORE_KEYSET_FILE=" + keys, "STEVEDORE_SFTP_ALLOW_NETWORKS=127.0.0.0/8",
	}})
	require.NoError(t, err)
	p, err := New(cfg, quiet, Options{})
	require.NoError(t, err)
	w.Service = p.Operations()
	t.Cleanup(p.Close)
	w.store = p.store
	w.objects, err = p.objects.get(t.Context())
	require.NoError(t, err)
	w.sealer, err = p.sealer.get(t.Context())
	require.NoError(t, err)
	w.sshd = services.StartSSHD(t, services.SSHDOptions{})
	w.server = w.register(t, w.sshd, "acme")
	return w
}

func (w *audited) register(t *testing.T, sshd *services.SSHD, name string) ingest.Server {
	t.Helper()
	server := sshd.Server(name, uuid.NewString())
	server.ScanInterval = time.Minute
	var err error
	server.PrivateKeyEncrypted, err = w.sealer.Seal(credentials.FieldPrivateKey, server, sshd.PrivateKeyPEM)
	require.NoError(t, err)
	server, err = w.store.AddServer(t.Context(), server)
	require.NoError(t, err)
	return server
}

// write creates a file on the server that is not young.
func (w *audited) write(t *testing.T, rel string, content []byte) ingest.Observation {
	t.Helper()
	w.sshd.Write(t, rel, content)
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	require.NoError(t, os.Chtimes(w.sshd.Path(rel), at, at))
	return ingest.Observation{Path: w.sshd.Path(rel), Size: int64(len(content)), ModTime: at}
}

// ready creates a file on the server and records it as ready.
func (w *audited) ready(t *testing.T, rel string, content []byte) ingest.File {
	t.Helper()
	ctx := t.Context()
	_, err := w.store.Observe(ctx, w.server.UUID, "schedule", []ingest.Observation{w.write(t, rel, content)})
	require.NoError(t, err)
	_, _, err = w.store.Promote(ctx, ingest.Server{UUID: w.server.UUID})
	require.NoError(t, err)
	files, err := w.store.Files(ctx, ingest.FileFilter{Limit: 1000})
	require.NoError(t, err)
	return files[len(files)-1]
}

// step claims a file and changes its status.
func (w *audited) step(t *testing.T, f ingest.File, to ingest.Status, set ingest.Columns, events ...ingest.EventType) {
	t.Helper()
	claimed, err := w.store.Claim(t.Context(), f.UUID)
	require.NoError(t, err)
	change := ingest.Change{FileUUID: f.UUID, Fence: claimed.Fence, To: to, Set: set}
	for _, e := range events {
		change.Events = append(change.Events, ingest.Event{Type: e})
	}
	require.NoError(t, w.store.Apply(t.Context(), change))
}

// uploaded ingests a file up to the status uploaded.
func (w *audited) uploaded(t *testing.T, rel string, content []byte) ingest.File {
	t.Helper()
	f := w.ready(t, rel, content)
	sum := sha256.Sum256(content)
	hash, algo, bucket, key := hex.EncodeToString(sum[:]), "sha256", w.objects.Bucket(), ingest.ObjectKey(f)
	w.step(t, f, ingest.StatusDownloading, ingest.Columns{}, ingest.EventDownloadStarted)
	w.step(t, f, ingest.StatusDownloaded, ingest.Columns{Hash: &hash, HashAlgo: &algo}, ingest.EventDownloaded)
	w.step(t, f, ingest.StatusVerified, ingest.Columns{}, ingest.EventVerified)
	w.step(t, f, ingest.StatusUploading, ingest.Columns{Bucket: &bucket, ObjectKey: &key}, ingest.EventUploadStart)
	_, err := w.objects.Put(t.Context(), ingest.Put{Key: key, Path: w.sshd.Path(rel), Size: f.Size, SHA256: hash})
	require.NoError(t, err)
	w.step(t, f, ingest.StatusUploaded, ingest.Columns{}, ingest.EventUploaded)
	f.ObjectKey = key
	return f
}

// complete ingests a file.
func (w *audited) complete(t *testing.T, rel string, content []byte) ingest.File {
	t.Helper()
	f := w.uploaded(t, rel, content)
	w.step(t, f, ingest.StatusCompleted, ingest.Columns{}, ingest.EventNotified)
	return f
}

// audit returns the discrepancies as lines without the root folder and the times.
func (w *audited) audit(t *testing.T, req operations.AuditRequest) ([]string, ingest.AuditCounts) {
	t.Helper()
	var lines []string
	summary, err := w.Audit(t.Context(), req, func(d audit.Discrepancy) error {
		line, _, _ := strings.Cut(strings.ReplaceAll(d.String(), w.sshd.Root, ""), ", modified")
		lines = append(lines, line)
		return nil
	})
	require.NoError(t, err)
	require.EqualValues(t, len(lines), summary.Discrepancies())
	slices.Sort(lines)
	return lines, summary
}

func TestAuditOfACorrectSystemFindsNothing(t *testing.T) {
	t.Parallel()
	w := newAudited(t)
	for i := range 5 {
		w.complete(t, "in/"+strconv.Itoa(i)+".csv", []byte(strings.Repeat("x", i)))
	}
	w.complete(t, "bad\x1b[31m\xff.csv", []byte("hostile name"))
	taken := w.complete(t, "taken.csv", []byte("removed after ingest"))
	require.NoError(t, os.Remove(taken.RemotePath))
	w.uploaded(t, "in-flight.csv", []byte("12"))
	w.sshd.Write(t, "young.csv", []byte("just written"))
	for _, deep := range []bool{false, true} {
		lines, summary := w.audit(t, operations.AuditRequest{Deep: deep})
		require.Empty(t, lines)
		require.EqualValues(t, 8, summary.Files)
		require.EqualValues(t, 8, summary.Objects)
		require.EqualValues(t, 8, summary.Sources)
		require.EqualValues(t, 2, summary.Pending)
		require.EqualValues(t, 10+12+20, summary.Bytes)
	}
}

func TestAuditFindsEachDiscrepancyOnce(t *testing.T) {
	t.Parallel()
	w := newAudited(t)
	ctx := t.Context()
	w.complete(t, "fine.csv", []byte("fine"))

	gone := w.complete(t, "gone.csv", []byte("object deleted"))
	require.NoError(t, w.s3.Core.RemoveObject(ctx, w.s3.Bucket, gone.ObjectKey, minio.RemoveObjectOptions{}))
	damaged := w.complete(t, "damaged.csv", []byte("aaaa"))
	w.s3.Replace(t, damaged.ObjectKey, []byte("aaab"))
	short := w.complete(t, "short.csv", []byte("12345"))
	w.s3.Replace(t, short.ObjectKey, []byte("1234"))
	foreign := w.complete(t, "foreign.csv", []byte("12"))
	_, err := w.s3.Core.PutObject(ctx, w.s3.Bucket, foreign.ObjectKey, strings.NewReader("12"), 2, "", "", minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = w.s3.Core.PutObject(ctx, w.s3.Bucket, "files/2026/01/stray/x", nil, 0, "", "", minio.PutObjectOptions{})
	require.NoError(t, err)
	_, err = w.s3.Core.PutObject(ctx, w.s3.Bucket, "others/theirs", nil, 0, "", "", minio.PutObjectOptions{})
	require.NoError(t, err)
	w.write(t, "lost\x1b.csv", []byte("123"))
	failed := w.ready(t, "failed.csv", []byte("1"))
	w.step(t, failed, ingest.StatusError, ingest.Columns{Error: &ingest.Failure{Step: ingest.StepDownload, Kind: ingest.KindPermission, Message: "refused"}}, ingest.EventError)
	silent := w.uploaded(t, "silent.csv", []byte("1"))
	w.step(t, silent, ingest.StatusCompleted, ingest.Columns{})
	down := services.StartSSHD(t, services.SSHDOptions{})
	down.Kill(t)
	w.register(t, down, "down")
	paused := w.register(t, down, "paused")
	require.NoError(t, w.store.PauseServer(ctx, paused.UUID))

	want := []string{
		"! acme:/foreign.csv: object " + foreign.ObjectKey + " has no SHA-256 in its metadata",
		"! acme:/failed.csv: it waits for an operator: refused",
		"! acme:/short.csv: object " + short.ObjectKey + " has 4 bytes, the row 5 bytes",
		"? down:" + down.Root + ": the server could not be audited: ",
		"+ files/2026/01/stray/x: the store has an object without a row",
		"- acme:/gone.csv: there is no object " + gone.ObjectKey,
		`- acme:/lost\x1b.csv: the server has it (3 bytes`,
		"- acme:/silent.csv: the ledger has no event amqp_notify_sent: its notification may not have been published",
	}
	check := func(deep bool, want ...string) {
		slices.Sort(want)
		lines, _ := w.audit(t, operations.AuditRequest{Deep: deep})
		require.Len(t, lines, len(want), "%q", lines)
		for i := range want {
			require.True(t, strings.HasPrefix(lines[i], want[i]), "%s\n%s", lines[i], want[i])
		}
	}
	check(false, want...)
	for i, line := range want {
		if strings.Contains(line, "short.csv") {
			want[i] += "; has bytes of SHA-256 "
		}
	}
	check(true, append(want, "! acme:/damaged.csv: object "+damaged.ObjectKey+" has bytes of SHA-256 ")...)

	lines, _ := w.audit(t, operations.AuditRequest{Servers: []string{"paused", paused.UUID}})
	require.Len(t, lines, 1, "a named server is listed even if it is paused")
	require.Contains(t, lines[0], "? paused:"+down.Root)
	_, err = w.Audit(ctx, operations.AuditRequest{Servers: []string{"unknown"}}, nil)
	require.ErrorIs(t, err, ingest.ErrNotFound)
}

func TestAuditDoesNotLogInToSuspendedServers(t *testing.T) {
	t.Parallel()
	w := newAudited(t)
	scan, err := w.store.StartScan(t.Context(), w.server.UUID, "scan")
	require.NoError(t, err)
	require.NoError(t, w.store.FinishScan(t.Context(), ingest.ScanResult{
		ScanID: scan, ServerUUID: w.server.UUID, Suspend: true, Failure: &ingest.Failure{Kind: ingest.KindAuth, Message: "refused the password"},
	}))
	lines, _ := w.audit(t, operations.AuditRequest{})
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "it is suspended (refused the password): run `stevedore server test acme`")
	require.NotContains(t, w.sshd.Log(t), "Accepted publickey")
	lines, _ = w.audit(t, operations.AuditRequest{Servers: []string{"acme"}})
	require.Empty(t, lines)
}
