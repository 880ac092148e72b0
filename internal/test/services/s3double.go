package services

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stevedore/internal/audit"
)

// minPart is S3's smallest part but for the last, in bytes.
const minPart = 5 << 20

// S3Double is an object store in this process that holds one bucket. It is strict
// where S3 is: it compares what arrives with its checksums, creates objects once
// where it is asked to, and completes uploads of the parts that it has. It
// verifies no signatures.
type S3Double struct {
	// S3 is how to reach it.
	S3 S3
	// content, may be nil, is what every part must be made of. Then bytes are
	// compared as they arrive, and dropped.
	content *Pattern

	received atomic.Int64

	mu      sync.Mutex
	objects map[string]*doubleObject
	uploads map[string]*doubleUpload
	begun   int
	wrong   []string
}

// doubleObject is a stored object. body is nil when its bytes were dropped.
type doubleObject struct {
	size     int64
	etag     string
	checksum string
	metadata http.Header
	body     []byte
	made     *Pattern
}

// StartS3Double starts it; it ends with the test. content, may be nil, is what
// all multipart uploads must hold; without, all bytes are kept in memory.
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

// Received is how many bytes the fullest upload has had in parts. Parts that are
// stored again do not count, so it shows how far a file has come.
func (d *S3Double) Received() int64 { return d.received.Load() }

// Wrong lists what arrived and was not what it must be.
func (d *S3Double) Wrong() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.wrong...)
}

func (d *S3Double) complain(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wrong = append(d.wrong, fmt.Sprintf(format, args...))
}

// Objects returns what S3.Objects does without reading any object: every byte of
// those made of parts was compared when it arrived.
func (d *S3Double) Objects() (all []audit.StoredObject) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, o := range d.objects {
		stored := audit.StoredObject{Key: key, Size: o.size, MetaSHA256: o.metadata.Get("X-Amz-Meta-Sha256"), Checksum: o.checksum}
		if o.made != nil {
			stored.SHA256 = o.made.SHA256()
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

// upload does what concerns one upload.
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
