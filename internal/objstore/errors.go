package objstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

// errRaced reports that the key or the upload changed since it was read, by
// another worker or by our own request whose response was lost. The remedy is to
// read again.
var errRaced = errors.New("key or upload changed while it was written")

// explain returns err with a kind and a one-line message that names the store and
// the remedy. doing describes the operation, e.g. "write part 3 of files/x". The
// ledger stores the message without the cause. A rejected access key is transient
// on purpose: it concerns the whole installation, so files wait visibly and
// continue once it is fixed, instead of each failing.
func (s *Store) explain(ctx context.Context, err error, doing string) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	var known *ingest.Error
	if errors.As(err, &known) {
		return err
	}
	resp := minio.ToErrorResponse(err)
	switch resp.Code {
	case minio.NoSuchBucket:
		return s.bucketMissing(err)
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		return ingest.Wrap(ingest.KindTransient, err, "the store at %s rejected damaged bytes (%s): they are sent again", s.endpoint, doing)
	case "RequestTimeTooSkewed":
		return ingest.Wrap(ingest.KindTransient, err, "the clocks of this host and of the store at %s differ too much: synchronize them", s.endpoint)
	case "XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded":
		return ingest.Wrap(ingest.KindTransient, err, "the store at %s has no space for bucket %s (%s): free or add storage", s.endpoint, s.bucket, doing)
	case minio.EntityTooSmall:
		return ingest.Wrap(ingest.KindTransient, err, "the store at %s requires larger parts than %d bytes (%s): set a larger part size, or use a store with the minimum of S3, 5 MiB",
			s.endpoint, s.partSize, doing)
	case minio.NotImplemented:
		return ingest.Wrap(ingest.KindInvalid, err, "the store at %s cannot %s: it must support multipart uploads and If-None-Match", s.endpoint, doing)
	}
	if refused(resp) {
		return ingest.Wrap(ingest.KindTransient, err,
			"the store at %s rejected the access key (%s): check STEVEDORE_S3_ACCESS_KEY and STEVEDORE_S3_SECRET_KEY, and that the key may read, write and list uploads in bucket %s",
			s.endpoint, doing, s.bucket)
	}
	if unreachable(err) {
		return ingest.Wrap(ingest.KindTransient, err, "the store at %s cannot be reached (%s): check that it runs and STEVEDORE_S3_ENDPOINT", s.endpoint, doing)
	}
	return ingest.Errorf(ingest.KindTransient, "the store at %s failed to %s (%v): it is retried", s.endpoint, doing, bare(err))
}

func (s *Store) bucketMissing(cause error) error {
	return &ingest.Error{
		Kind:    ingest.KindMissing,
		Message: fmt.Sprintf("bucket %s does not exist on %s: create it or run `stevedore setup`", s.bucket, s.endpoint),
		Err:     cause,
	}
}

// refused reports whether the error concerns our identity. A HEAD has no response
// body, so the status may be the only information.
func refused(resp minio.ErrorResponse) bool {
	switch resp.Code {
	case minio.AccessDenied, "InvalidAccessKeyId", "SignatureDoesNotMatch", "AccountProblem":
		return true
	}
	return resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized
}

// bare removes the request's URL, because doing describes the operation.
func bare(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}

func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

// raced reports whether the store's error means errRaced.
func raced(err error) bool {
	resp := minio.ToErrorResponse(err)
	switch resp.Code {
	case minio.PreconditionFailed, minio.NoSuchUpload, minio.InvalidPart, "ConditionalRequestConflict", "OperationAborted":
		return true
	}
	return resp.StatusCode == http.StatusPreconditionFailed || resp.StatusCode == http.StatusConflict
}
