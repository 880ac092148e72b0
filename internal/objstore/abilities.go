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
	// probeKey is where the store is tried out before the first write of a
	// process. What is written there is removed; where our key may not remove
	// objects, one stays.
	probeKey = "stevedore-probe"
	// damagedKey is what a store must not take, because its checksum is wrong.
	damagedKey = probeKey + "-damaged"
	// probeTries is how many writes must succeed before a store counts as one that
	// replaces objects: other workers, which try the same probe, may remove it
	// between two of ours. probePause keeps them apart.
	probeTries = 8
	probePause = 50 * time.Millisecond
	// probePart is unlike the numbers of real parts, for those who read logs.
	probePart = 9999
)

// probeBody is small; S3 takes a last part of any size.
var probeBody = []byte("stevedore checks that this store creates objects once")

// Digests of probeBody, and of something else.
var (
	probeSum      = sha256.Sum256(probeBody)
	probeSHA256   = hex.EncodeToString(probeSum[:])
	probeChecksum = hexToBase64(probeSHA256)
	wrongSum      = sha256.Sum256(nil)
	wrongChecksum = hexToBase64(hex.EncodeToString(wrongSum[:]))
)

// errUnfit says that the store lacks what exactly-once needs.
var errUnfit = errors.New("store is unfit")

// abilities are what the store does with one kind of write.
type abilities struct {
	// checksums: it compares the bytes with the SHA-256 in a header, which the
	// signature covers, refuses others, and returns that SHA-256. Without, requests
	// carry an MD5 and sign a SHA-256, and what was stored is proven by a HEAD.
	checksums bool
}

// trial finds out abilities once. A failed trial is repeated by the next caller.
type trial struct {
	known atomic.Pointer[abilities]
	turn  chan struct{}
}

func newTrial() *trial { return &trial{turn: make(chan struct{}, 1)} }

// result returns the abilities; callers wait for a trial under way.
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

// wholeAbilities returns what the store does with objects of one request.
func (s *Store) wholeAbilities(ctx context.Context) (abilities, error) {
	return s.wholes.result(ctx, s.tryWhole)
}

// partAbilities returns what the store does with multipart uploads.
func (s *Store) partAbilities(ctx context.Context) (abilities, error) {
	return s.parts.result(ctx, s.tryParts)
}

// tryWhole creates an object until that is refused, which the second time must.
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
		if checksum, there, err := s.lookAtProbe(ctx); there || err != nil {
			able.checksums = able.checksums && checksum == probeChecksum
			return able, err
		}
	}
	if refused {
		return able, ingest.Errorf(ingest.KindTransient, "object %s was removed by others each time it was looked at: it is tried again", probeKey)
	}
	return able, s.unfit("PUT")
}

// comparesWhole sends an object whose checksum is wrong. A store that takes it
// keeps checksums and does not compare them; one that answers anything but a bad
// request does not take such objects from us. Neither gets them.
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

// lookAtProbe reads the checksum of a probe that was left behind or is another
// worker's, who may have removed it by now.
func (s *Store) lookAtProbe(ctx context.Context) (checksum string, there bool, err error) {
	info, err := s.core.StatObject(ctx, s.bucket, probeKey, minio.StatObjectOptions{Checksum: true})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return "", false, nil
	}
	return info.ChecksumSHA256, true, s.explain(ctx, err, "look at object "+probeKey)
}

// pause waits before the next try of a trial, longer each time and not as long
// as another worker does.
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

// createProbe writes the probe unless it exists. Stores that refuse the header
// of a checksum get the object without, and able says so.
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

// tryParts completes an upload over the probe until that is refused. A store
// that replaces objects in one kind of write is used for none.
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

// tryUpload reports whether the store has the abilities in uploads, and whether
// completing one over an object was refused.
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

// unlessRefused returns nil instead of an error that may be due to the checksum.
func unlessRefused(err error, able abilities) error {
	if able.checksums && err != nil && declined(err) {
		return nil
	}
	return err
}

// remove tidies up after a trial; nothing depends on it.
func (s *Store) remove(ctx context.Context, key string) {
	_ = s.core.RemoveObject(context.WithoutCancel(ctx), s.bucket, key, minio.RemoveObjectOptions{})
}

// refusesRequest reports whether the store finds the request bad.
func refusesRequest(err error) bool {
	return minio.ToErrorResponse(err).StatusCode == http.StatusBadRequest
}

// declined reports whether the store has answered that it does not take the
// request, for whatever reason: it may be worth another try with less in it, whose
// answer says more.
func declined(err error) bool {
	code := minio.ToErrorResponse(err).StatusCode
	return code >= 400 && code < 500 && code != http.StatusTooManyRequests && code != http.StatusRequestTimeout || code == http.StatusNotImplemented
}

// unfit is the error for a store that would replace objects. It is transient:
// files wait visibly until the store is another one.
func (s *Store) unfit(request string) error {
	return ingest.Wrap(ingest.KindTransient, errUnfit,
		"the store at %s ignores If-None-Match in %s requests, so that two writers could replace each other's objects: nothing is written to it; use a store with conditional writes or a newer version of this one",
		s.endpoint, request)
}
