// Package objstore writes staged files to an S3 object store so that each key
// is written once, no byte is sent twice without need, and what the store
// holds is proven before anybody is told about it.
//
// The store itself carries all state: an unfinished multipart upload is found
// again by its key and its parts are compared with the local bytes, so that an
// upload goes on after any crash, on any worker that has the file.
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
	// defaultRegion is what MinIO and most others answer to.
	defaultRegion = "us-east-1"
	// defaultParallel suits one gigabit line: three parts on the way hide the
	// round trip and the store's commit of each part.
	defaultParallel = 3
	// defaultStopGrace lets a part of the default size get through a line of 1 MiB/s.
	defaultStopGrace = 20 * time.Second
	// requestTries is how often one request is sent before Put gives up. Few:
	// the caller retries without end and shows each failure.
	requestTries = 3
)

// Config says where the store is and how to write to it.
type Config struct {
	// Endpoint is "host:port" or "host", without a scheme.
	Endpoint string
	// AccessKey and SecretKey sign requests. They never appear in errors.
	AccessKey string
	SecretKey string
	// Bucket is where all objects go.
	Bucket string
	// Region is the bucket's; default "us-east-1", which MinIO accepts.
	Region string
	// UseTLS speaks HTTPS.
	UseTLS bool
	// PartSize in bytes is the part size of multipart uploads, and the largest
	// file that is sent in one request. Default 16 MiB, at least 5 MiB (a rule
	// of S3); it is doubled for files that would have more than 10,000 parts.
	PartSize int64
	// StopGrace is how long requests that are under way when Put is to stop may
	// take to end; default 20s, half of what a stopping worker waits.
	StopGrace time.Duration
	// Parallel is how many parts of one file are sent at the same time; default 3.
	Parallel int
	// Memory bounds the buffers of all uploads of staged files together; nil does
	// not. One upload takes at most Parallel + 1 parts.
	Memory Memory
}

// Memory is an amount of memory that several users share.
type Memory interface {
	// Acquire waits until so many bytes are free, and returns what gives them back.
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
	// A worker sends many small objects side by side. With the library's 16 idle
	// connections most of them would be closed after each request.
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

// Bucket is where objects go.
func (s *Store) Bucket() string { return s.bucket }

// Close gives up idle connections.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Ping reports whether the store answers, accepts our key and has the bucket,
// and whether objects and multipart uploads are created once in it. The latter
// is tried out by writing probes, until it has succeeded once; a key that may
// only read is not refused for that.
func (s *Store) Ping(ctx context.Context) error {
	exists, err := s.core.BucketExists(ctx, s.bucket)
	if err != nil {
		return s.explain(ctx, err, "look for bucket "+s.bucket)
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
		// Somebody was faster. Ping says whether it is ours to use.
		return s.Ping(ctx)
	}
	return s.explain(ctx, err, "create bucket "+s.bucket)
}
