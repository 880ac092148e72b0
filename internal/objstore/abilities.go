package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/ingest"
)

const (
	// probeKey is the object with which a store is tested before the first write of a
	// process. It is removed afterwards, unless our key may not delete objects.
	probeKey = "stevedore-probe"
	// damagedKey is sent with a wrong checksum; the store must reject it.
	damagedKey = probeKey + "-damaged"
	// probeTries is the number of successful writes that prove that a store replaces
	// objects. One is not enough: other workers use the same probe and may remove it in
	// between. probePause separates the attempts.
	probeTries = 8
	probePause = 50 * time.Millisecond
	// probePart differs from the numbers of real parts, to be recognizable in logs.
	probePart = 9999
)

// probeBody is small; S3 accepts a last part of any size.
var probeBody = []byte("stevedore checks that this store creates objects once")

// Digests of probeBody and of other bytes.
var (
	probeSum      = sha256.Sum256(probeBody)
	probeSHA256   = hex.EncodeToString(probeSum[:])
	probeChecksum = hexToBase64(probeSHA256)
	wrongSum      = sha256.Sum256(nil)
	wrongChecksum = hexToBase64(hex.EncodeToString(wrongSum[:]))
)

// errUnfit marks a store without conditional writes.
var errUnfit = errors.New("store is unfit")

// abilities are the abilities of the store for one kind of write.
type abilities struct {
	// checksums: the store verifies and returns the SHA-256 in a signed header.
	// Otherwise requests carry an MD5 and a signed SHA-256, and a HEAD proves the
	// result.
	checksums bool
}

// trial determines abilities once. The next caller repeats a failed trial.
type trial struct {
	known atomic.Pointer[abilities]
	turn  chan struct{}
}

func newTrial() *trial { return &trial{turn: make(chan struct{}, 1)} }

// result returns the abilities; callers wait for a trial in progress.
func (t *trial) result(ctx context.Context, run func(context.Context) (abilities, error)) (abilities, error) {
	if known := t.known.Load(); known != nil {
		return *known, nil
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return abilities{}, ctx.Err()
	}
	defer func() { <-t.turn }()
	if known := t.known.Load(); known != nil {
		return *known, nil
	}
	found, err := run(ctx)
	if err == nil {
		t.known.Store(&found)
	}
	return found, err
}

// wholeAbilities returns the abilities for objects written by one request.
func (s *Store) wholeAbilities(ctx context.Context) (abilities, error) {
	return s.wholes.result(ctx, s.tryWhole)
}

// partAbilities returns the abilities for multipart uploads.
func (s *Store) partAbilities(ctx context.Context) (abilities, error) {
	return s.parts.result(ctx, s.tryParts)
}

// tryWhole writes the probe object until the store refuses, which must happen on
// the second write.
func (s *Store) tryWhole(ctx context.Context) (abilities, error) {
	able, err := s.comparesWhole(ctx)
	if err != nil {
		return able, err
	}
	defer s.remove(ctx, probeKey)
	var created, refused bool
	for try := range probeTries {
		if err := pause(ctx, try); err != nil {
			return able, err
		}
		stored, err := s.createProbe(ctx, &able)
		switch {
		case err == nil:
			created = true
			able.checksums = able.checksums && stored.ChecksumSHA256 == probeChecksum
		case raced(err):
			refused = true
		default:
			return able, s.explain(ctx, err, "write object "+probeKey)
		}
		if created && refused {
			return able, nil
		}
		if !refused {
			continue
		}
		if checksum, found, err := s.statProbe(ctx); found || err != nil {
			able.checksums = able.checksums && checksum == probeChecksum
			return able, err
		}
	}
	if refused {
		return able, ingest.Errorf(ingest.KindTransient, "object %s was removed by others before each check: the check is repeated", probeKey)
	}
	return able, s.unfit("PUT")
}

// comparesWhole sends an object with a wrong checksum. A store that rejects it with
// "bad request" verifies checksums. If the store accepts it, or rejects it for another
// reason, it is sent no checksums.
func (s *Store) comparesWhole(ctx context.Context) (abilities, error) {
	_, err := s.sendWhole(ctx, ingest.PutBytes{Key: damagedKey, Body: probeBody}, wrongChecksum)
	switch {
	case err == nil:
		s.remove(ctx, damagedKey)
		return abilities{}, nil
	case refusesRequest(err):
		return abilities{checksums: true}, nil
	case declined(err):
		return abilities{}, nil
	}
	return abilities{}, s.explain(ctx, err, "write object "+damagedKey)
}

// statProbe returns the checksum of the probe object, which an earlier probe or
// another worker wrote. found is false if it was removed meanwhile.
func (s *Store) statProbe(ctx context.Context) (checksum string, found bool, err error) {
	info, err := s.core.StatObject(ctx, s.bucket, probeKey, minio.StatObjectOptions{Checksum: true})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return "", false, nil
	}
	return info.ChecksumSHA256, true, s.explain(ctx, err, "stat object "+probeKey)
}

// pause waits before the next attempt, longer each time and with random variation,
// so that workers do not stay in step.
func pause(ctx context.Context, try int) error {
	if try < 2 {
		return nil
	}
	select {
	case <-time.After(rand.N(time.Duration(try) * probePause)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// createProbe writes the probe unless it exists. If the store rejects the checksum
// header, the probe is written without it and able is updated.
func (s *Store) createProbe(ctx context.Context, able *abilities) (minio.UploadInfo, error) {
	req := ingest.PutBytes{Key: probeKey, Body: probeBody, SHA256: probeSHA256}
	if able.checksums {
		stored, err := s.sendWhole(ctx, req, probeChecksum)
		if err == nil || raced(err) || !declined(err) {
			return stored, err
		}
		able.checksums = false
	}
	return s.sendWhole(ctx, req, "")
}

// tryParts completes an upload over the probe until the store refuses. A store
// that replaces objects in one kind of write is not used at all.
func (s *Store) tryParts(ctx context.Context) (abilities, error) {
	whole, err := s.wholeAbilities(ctx)
	if err != nil {
		return abilities{}, err
	}
	defer s.remove(ctx, probeKey)
	for try := range probeTries {
		if err := pause(ctx, try); err != nil {
			return abilities{}, err
		}
		if _, err := s.createProbe(ctx, &whole); err != nil && !raced(err) {
			return abilities{}, s.explain(ctx, err, "write object "+probeKey)
		}
		for _, able := range []abilities{{checksums: true}, {}} {
			fits, once, err := s.tryUpload(ctx, able)
			if err != nil || once {
				return able, s.explain(ctx, err, "write object "+probeKey+" in parts")
			}
			if fits {
				break
			}
		}
	}
	return abilities{}, s.unfit("CompleteMultipartUpload")
}

// tryUpload reports whether the store has the abilities in uploads, and whether it
// refused to complete one over an existing object.
func (s *Store) tryUpload(ctx context.Context, able abilities) (fits, once bool, err error) {
	id, err := s.beginUpload(ctx, probeKey, nil, "", able)
	if err != nil {
		return false, false, unlessRefused(err, able)
	}
	defer func() { _ = s.core.AbortMultipartUpload(context.WithoutCancel(ctx), s.bucket, probeKey, id) }()
	if able.checksums {
		_, err := s.putPart(ctx, probeKey, id, part{number: probePart, body: probeBody, sha256: wrongSum}, able)
		if err == nil || !refusesRequest(err) {
			return false, false, unlessRefused(err, able)
		}
	}
	good := partOf(probePart, probeBody)
	stored, err := s.putPart(ctx, probeKey, id, good, able)
	if err != nil || able.checksums && stored.ChecksumSHA256 != probeChecksum {
		return false, false, unlessRefused(err, able)
	}
	_, err = s.complete(ctx, probeKey, id, []ingest.Part{good.stored(stored)})
	if err != nil && raced(err) {
		return true, true, nil
	}
	return true, false, err
}

// unlessRefused returns nil for an error that may be caused by the checksum.
func unlessRefused(err error, able abilities) error {
	if able.checksums && err != nil && declined(err) {
		return nil
	}
	return err
}

// remove cleans up after a trial; errors do not matter.
func (s *Store) remove(ctx context.Context, key string) {
	_ = s.core.RemoveObject(context.WithoutCancel(ctx), s.bucket, key, minio.RemoveObjectOptions{})
}

// refusesRequest reports whether the store rejects the request as invalid.
func refusesRequest(err error) bool {
	return minio.ToErrorResponse(err).StatusCode == http.StatusBadRequest
}

// declined reports whether the store rejected the request for any reason. A
// simpler request may then succeed, or fail with a more specific reason.
func declined(err error) bool {
	code := minio.ToErrorResponse(err).StatusCode
	return code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout || code == http.StatusNotImplemented
}

// unfit returns the error for a store that replaces objects. It is transient, so
// that files wait until the store is changed.
func (s *Store) unfit(request string) error {
	return ingest.Wrap(ingest.KindTransient, errUnfit,
		"the store at %s ignores If-None-Match in %s requests, so that two writers could replace each other's objects: nothing is written to it; use a store with conditional writes or a newer version of this one",
		s.endpoint, request)
}
