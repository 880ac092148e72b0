package faults_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// ownStore is a MinIO for one test, for faults of a complete store.
type ownStore struct {
	h       *sandbox.Cluster
	program string
	home    string
	data    string
	server  *exec.Cmd
}

// newOwnStore starts a MinIO with its data in the folder and makes it the store of the
// cluster.
func newOwnStore(t *testing.T, h *sandbox.Cluster, folder string) *ownStore {
	t.Helper()
	program, err := filepath.Abs("../../../bin/minio")
	require.NoError(t, err)
	require.FileExists(t, program, "run make build")
	o := &ownStore{h: h, program: program, home: t.TempDir(), data: filepath.Join(folder, "data")}
	s := services.S3{
		Endpoint: fmt.Sprintf("127.0.0.1:%d", services.FreePort(t)), AccessKey: "own-access-key", SecretKey: "own-secret-key", Bucket: h.S3.Bucket,
	}
	s.Core, err = minio.NewCore(s.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
	require.NoError(t, err)
	h.S3 = s
	h.Cfg.S3.Endpoint, h.Cfg.S3.AccessKey, h.Cfg.S3.SecretKey = s.Endpoint, s.AccessKey, config.Secret(s.SecretKey)
	t.Cleanup(o.stop)
	o.start(t, s.AccessKey)
	sandbox.Eventually(t, func() bool {
		return s.Core.MakeBucket(h.Context(t), s.Bucket, minio.MakeBucketOptions{}) == nil
	}, sandbox.Timeout, 5*tick, "the store does not start")
	return o
}

// start starts it with a single access key; it rejects all others.
func (o *ownStore) start(t *testing.T, accessKey string) {
	t.Helper()
	o.server = exec.Command(o.program, "server", "--quiet", "--address", o.h.S3.Endpoint, o.data)
	o.server.Env = append(os.Environ(), "HOME="+o.home, "MINIO_ROOT_USER="+accessKey, "MINIO_ROOT_PASSWORD="+o.h.S3.SecretKey)
	require.NoError(t, o.server.Start())
}

func (o *ownStore) stop() {
	_ = o.server.Process.Kill()
	_ = o.server.Wait()
}

// TestFault44_KeyRevokedInTheStore revokes the access key of a separate MinIO in the middle
// of an upload, and restores it.
func TestFault44_KeyRevokedInTheStore(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	store := newOwnStore(t, h, t.TempDir())
	proxy := newStoreProxy(t, h)
	reached, revoked := make(chan struct{}), make(chan struct{})
	held, _ := firstTime(func(*http.Request) { close(reached); <-revoked })
	proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
		if isPart(r, "4") {
			held(r)
		}
		return false
	}, nil)
	acme := h.AddServer(t, "acme", sandbox.Staged)
	acme.Write(t, "a.bin", sandbox.Random(60<<20))
	h.StartWorker(t)
	scan := h.Scan(t)
	await(t, reached, "the fourth part is not sent")
	sandbox.Eventually(t, func() bool { return proxy.taken("1")+proxy.taken("2")+proxy.taken("3") == 3 }, sandbox.Timeout, tick)
	store.stop()
	store.start(t, "another-access-key")
	close(revoked)
	waiting := h.File(t, acme.Path("a.bin"), func(f ingest.File) bool {
		attempt, _ := runningStep(t, h, f.UUID)
		return attempt >= 3 && strings.Contains(f.ErrorMessage, "rejected the access key")
	})
	assert.Equal(t, ingest.StatusUploading, waiting.Status)
	assert.NotContains(t, waiting.ErrorMessage, h.S3.SecretKey)

	store.stop()
	store.start(t, h.S3.AccessKey)
	h.AwaitScans(t, scan)
	h.AwaitIngest(t, h.Completed(t, acme.Path("a.bin")).UUID)
	for _, part := range []string{"1", "2", "3"} {
		assert.Equal(t, 1, proxy.taken(part), "stored part %s is sent again", part)
	}
	h.RequireExactlyOnce(t)
}
