package objstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stevedore/internal/ingest"
)

const (
	// defaultRegion is accepted by MinIO and most other stores.
	defaultRegion = "us-east-1"
	// defaultParallel suits a 1 Gbit/s connection: three parts in flight hide the
	// round trip and the store's commit of each part.
	defaultParallel = 3
	// defaultStopGrace is long enough for a part of the default size at 1 MiB/s.
	defaultStopGrace = 20 * time.Second
	// requestTries is the number of attempts of one request. It is low, because the
	// caller retries without limit and records each failure.
	requestTries = 3
)

// Config configures the object store.
type Config struct {
	// Endpoint is "host:port" or "host", without a scheme.
	Endpoint string
	// AccessKey and SecretKey sign requests. They never appear in errors.
	AccessKey string
	SecretKey string
	// Bucket is the bucket of all objects.
	Bucket string
	// Region is the bucket's region; default "us-east-1", which MinIO accepts.
	Region string
	// UseTLS enables HTTPS; default false.
	UseTLS bool
	// PartSize is the part size of multipart uploads in bytes, and the largest file
	// that is sent by one request. Default 16 MiB, at least 5 MiB (a rule of S3); it
	// is doubled for files with more than 10,000 parts.
	PartSize int64
	// StopGrace is the time for requests in flight to finish after Put was stopped;
	// default 20 s, half of a worker's stop timeout.
	StopGrace time.Duration
	// Parallel is the number of concurrently sent parts of one file; default 3.
	Parallel int
	// Memory bounds the buffers of all uploads of staged files; nil is unlimited. One
	// upload uses at most Parallel + 1 parts.
	Memory Memory
}

// Memory is a memory budget shared by several users.
type Memory interface {
	// Acquire waits until the bytes are available and returns a function that releases
	// them.
	Acquire(ctx context.Context, bytes int64) (release func(), err error)
}

// Store is a bucket of an object store. It is safe for concurrent use.
type Store struct {
	core      *minio.Core
	transport *http.Transport
	endpoint  string
	bucket    string
	region    string
	partSize  int64
	parallel  int
	stopGrace time.Duration
	memory    Memory
	buffers   sync.Pool // of *[]byte with partSize bytes
	wholes    *trial
	parts     *trial
}

// New returns the store. It does not connect; Ping does.
func New(cfg Config) (*Store, error) {
	if cfg.Endpoint == "" || cfg.Bucket == "" {
		return nil, ingest.Errorf(ingest.KindInvalid, "object store: endpoint and bucket must be set")
	}
	cfg = cfg.withDefaults()
	if cfg.PartSize < minPartSize || cfg.PartSize > maxPartSize {
		return nil, ingest.Errorf(ingest.KindInvalid, "object store: part size %d: use %d to %d bytes", cfg.PartSize, int64(minPartSize), int64(maxPartSize))
	}
	transport, err := minio.DefaultTransport(cfg.UseTLS)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to the object store: %w", err)
	}
	// A worker sends many small objects concurrently. With the library's 16 idle
	// connections most connections would be closed after each request.
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns
	core, err := minio.NewCore(cfg.Endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""),
		Secure:     cfg.UseTLS,
		Region:     cfg.Region,
		Transport:  transport,
		MaxRetries: requestTries,
	})
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "object store endpoint %q: use host:port without a scheme", cfg.Endpoint)
	}
	return &Store{
		core: core, transport: transport, endpoint: cfg.Endpoint, bucket: cfg.Bucket,
		region: cfg.Region, partSize: cfg.PartSize, parallel: cfg.Parallel, stopGrace: cfg.StopGrace,
		memory: cfg.Memory, wholes: newTrial(), parts: newTrial(),
	}, nil
}

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = defaultRegion
	}
	if c.PartSize == 0 {
		c.PartSize = defaultPartSize
	}
	if c.StopGrace <= 0 {
		c.StopGrace = defaultStopGrace
	}
	if c.Parallel <= 0 {
		c.Parallel = defaultParallel
	}
	return c
}

// Bucket returns the bucket of all objects.
func (s *Store) Bucket() string { return s.bucket }

// Close closes idle connections.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Ping checks that the store responds, accepts our key and has the bucket, and
// that objects and multipart uploads are created only once in it. The latter is
// tested by writing probes until the test succeeds once; a read-only key is
// accepted.
func (s *Store) Ping(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.bucket)
	if err != nil {
		return s.explain(ctx, err, "find bucket "+s.bucket)
	}
	if !exists {
		return s.bucketMissing(nil)
	}
	if _, err = s.partAbilities(ctx); errors.Is(err, errUnfit) {
		return err
	}
	return nil
}

// EnsureBucket creates the bucket unless it exists.
func (s *Store) EnsureBucket(ctx context.Context) error {
	err := s.Ping(ctx)
	if ingest.KindOf(err) != ingest.KindMissing {
		return err
	}
	err = s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{Region: s.region})
	switch minio.ToErrorResponse(err).Code {
	case minio.BucketAlreadyOwnedByYou, minio.BucketAlreadyExists:
		// Created concurrently. Ping reports whether we may use it.
		return s.Ping(ctx)
	}
	return s.explain(ctx, err, "create bucket "+s.bucket)
}
