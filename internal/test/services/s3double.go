package services

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stevedore/internal/audit"
)

// minPart is S3's minimum size of a part other than the last, in bytes.
const minPart = 5 << 20

// S3Double is an in-process test double of an object store with one bucket. Like S3 it
// verifies checksums, honours If-None-Match, and completes uploads only from parts that
// it holds. It does not verify signatures.
type S3Double struct {
	// S3 holds its address and credentials.
	S3 S3
	// content, if not nil, is the expected content of all multipart uploads. Their bytes
	// are then compared on arrival and not kept.
	content *Pattern

	received atomic.Int64

	mu      sync.Mutex
	objects map[string]*doubleObject
	uploads map[string]*doubleUpload
	begun   int
	errors  []string
}

// doubleObject is a stored object. body is nil if its bytes were not kept.
type doubleObject struct {
	size     int64
	etag     string
	checksum string
	metadata http.Header
	body     []byte
	pattern  *Pattern // content in place of body
}

// StartS3Double starts the server, which ends with the test. content, if not nil, is the
// expected content of multipart uploads; otherwise all bytes are kept in memory.
func StartS3Double(t testing.TB, content *Pattern) *S3Double {
	t.Helper()
	d := &S3Double{content: content, objects: map[string]*doubleObject{}, uploads: map[string]*doubleUpload{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	d.S3 = S3{
		Endpoint: strings.TrimPrefix(server.URL, "http://"), AccessKey: "double", SecretKey: rand.Text(),
		Region: "us-east-1", Bucket: "double",
	}
	var err error
	d.S3.Core, err = minio.NewCore(d.S3.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(d.S3.AccessKey, d.S3.SecretKey, ""), Region: d.S3.Region,
	})
	if err != nil {
		t.Fatalf("double of an object store: %v", err)
	}
	return d
}

// Received returns the bytes of the largest upload so far. Repeated parts do not count,
// so it measures the progress of a file.
func (d *S3Double) Received() int64 { return d.received.Load() }

// Errors returns the differences between received and expected content.
func (d *S3Double) Errors() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.errors)
}

func (d *S3Double) addError(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.errors = append(d.errors, fmt.Sprintf(format, args...))
}

// Objects returns the same as S3.Objects without reading the objects: the bytes of
// multipart uploads were compared on arrival.
func (d *S3Double) Objects() (all []audit.StoredObject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.objects {
		stored := audit.StoredObject{Key: key, Size: o.size, MetaSHA256: o.metadata.Get("X-Amz-Meta-Sha256"), Checksum: o.checksum}
		if o.pattern != nil {
			stored.SHA256 = o.pattern.SHA256()
		}
		all = append(all, stored)
	}
	return all
}

// ServeHTTP implements http.Handler.
func (d *S3Double) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	switch {
	case bucket != d.S3.Bucket:
		fail(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && query.Has("location"):
		answer(w, doubleLocation{})
	case key == "" && query.Has("uploads"):
		d.listUploads(w, query.Get("prefix"))
	case key == "" && r.Method == http.MethodGet:
		d.listObjects(w, query.Get("prefix"))
	case key == "" && r.Method == http.MethodHead:
	case key == "":
		fail(w, http.StatusNotImplemented, "NotImplemented")
	case query.Has("uploads"):
		d.begin(w, r, key)
	case query.Has("uploadId"):
		d.upload(w, r, key, query)
	default:
		d.object(w, r, key)
	}
}

// upload handles requests about an upload.
func (d *S3Double) upload(w http.ResponseWriter, r *http.Request, key string, query map[string][]string) {
	d.mu.Lock()
	up := d.uploads[query["uploadId"][0]]
	d.mu.Unlock()
	if up == nil || up.key != key {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	switch r.Method {
	case http.MethodPut:
		d.putPart(w, r, up)
	case http.MethodPost:
		d.complete(w, r, up)
	case http.MethodDelete:
		d.mu.Lock()
		delete(d.uploads, up.id)
		d.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		d.listParts(w, r, up)
	}
}
