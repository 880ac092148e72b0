package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
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

// probeSHA256 and probeChecksum are its digest in hex and in base64.
var (
	probeSHA256   = hex.EncodeToString(probeSum[:])
	probeChecksum = hexToBase64(probeSHA256)
	probeSum      = sha256.Sum256(probeBody)
)

// errUnfit says that the store lacks what exactly-once needs.
var errUnfit = errors.New("store is unfit")

// abilities are what the store does with one kind of write.
type abilities struct {
	// checksums: it compares the bytes with a SHA-256 and returns that. Without,
	// requests carry an MD5, and what was stored is proven by a HEAD.
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
	defer s.removeProbe(ctx)
	var able abilities
	var created, refused bool
	for try := range probeTries {
		if err := pause(ctx, try); err != nil {
			return able, err
		}
		stored, err := s.createProbe(ctx)
		switch {
		case err == nil:
			created, able.checksums = true, stored.ChecksumSHA256 == probeChecksum
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
		if found, there, err := s.lookAtProbe(ctx); there || err != nil {
			return found, err
		}
	}
	if refused {
		return able, ingest.Errorf(ingest.KindTransient, "object %s was removed by others each time it was looked at: it is tried again", probeKey)
	}
	return able, s.unfit("PUT")
}

// lookAtProbe reads what the store knows of a probe that was left behind or is
// another worker's, who may have removed it by now.
func (s *Store) lookAtProbe(ctx context.Context) (found abilities, there bool, err error) {
	info, err := s.core.StatObject(ctx, s.bucket, probeKey, minio.StatObjectOptions{Checksum: true})
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		return abilities{}, false, nil
	}
	return abilities{checksums: info.ChecksumSHA256 == probeChecksum}, true, s.explain(ctx, err, "look at object "+probeKey)
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
// of a checksum get the object without.
func (s *Store) createProbe(ctx context.Context) (minio.UploadInfo, error) {
	stored, err := s.putProbe(ctx, true)
	if err != nil && refusesHeader(err) {
		return s.putProbe(ctx, false)
	}
	return stored, err
}

func (s *Store) putProbe(ctx context.Context, checksum bool) (minio.UploadInfo, error) {
	opts := objectOptions(nil, "")
	opts.DisableContentSha256 = signGivenDigest
	opts.SetMatchETagExcept("*")
	if checksum {
		opts.UserMetadata[checksumHeader] = probeChecksum
	}
	return s.core.PutObject(ctx, s.bucket, probeKey, bodyOf(probeBody, nil), int64(len(probeBody)), md5Base64(probeBody), probeSHA256, opts)
}

// tryParts completes an upload over the probe until that is refused. A store
// that replaces objects in one kind of write is used for none.
func (s *Store) tryParts(ctx context.Context) (abilities, error) {
	if _, err := s.wholeAbilities(ctx); err != nil {
		return abilities{}, err
	}
	defer s.removeProbe(ctx)
	for try := range probeTries {
		if err := pause(ctx, try); err != nil {
			return abilities{}, err
		}
		if _, err := s.createProbe(ctx); err != nil && !raced(err) {
			return abilities{}, s.explain(ctx, err, "write object "+probeKey)
		}
		able, once, err := s.tryUpload(ctx)
		if err != nil || once {
			return able, s.explain(ctx, err, "write object "+probeKey+" in parts")
		}
	}
	return abilities{}, s.unfit("CompleteMultipartUpload")
}

// tryUpload reports whether completing an upload over an object was refused.
func (s *Store) tryUpload(ctx context.Context) (able abilities, once bool, err error) {
	able.checksums = true
	id, err := s.beginUpload(ctx, probeKey, nil, "", able)
	if err != nil && refusesHeader(err) {
		able.checksums = false
		id, err = s.beginUpload(ctx, probeKey, nil, "", able)
	}
	if err != nil {
		return able, false, err
	}
	defer func() { _ = s.core.AbortMultipartUpload(context.WithoutCancel(ctx), s.bucket, probeKey, id) }()
	part := partOf(probePart, probeBody)
	stored, err := s.putPart(ctx, probeKey, id, part, able)
	if err != nil {
		return able, false, err
	}
	able.checksums = able.checksums && stored.ChecksumSHA256 == probeChecksum
	_, err = s.complete(ctx, probeKey, id, []ingest.Part{part.stored(stored)})
	if err != nil && raced(err) {
		return able, true, nil
	}
	return able, false, err
}

// removeProbe tidies up; nothing depends on it.
func (s *Store) removeProbe(ctx context.Context) {
	_ = s.core.RemoveObject(context.WithoutCancel(ctx), s.bucket, probeKey, minio.RemoveObjectOptions{})
}

// refusesHeader reports whether the store does not take a request as it is, so
// that it may be worth another try with less in it.
func refusesHeader(err error) bool {
	switch minio.ToErrorResponse(err).Code {
	case minio.NotImplemented, minio.InvalidArgument, "InvalidRequest", "InvalidHeader":
		return true
	}
	return false
}

// unfit is the error for a store that would replace objects. It is transient:
// files wait visibly until the store is another one.
func (s *Store) unfit(request string) error {
	return ingest.Wrap(ingest.KindTransient, errUnfit,
		"the store at %s ignores If-None-Match in %s requests, so that two writers could replace each other's objects: nothing is written to it; use a store with conditional writes or a newer version of this one",
		s.endpoint, request)
}
