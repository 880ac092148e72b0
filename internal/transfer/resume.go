package transfer

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"

	"stevedore/internal/ingest"
)

// sums are the hashes of a direct transfer: SHA-256 and an optional second one for
// the partner's checksum file.
type sums struct {
	sha256 hash.Hash
	also   hash.Hash // nil for none
}

func newSums(also string) (sums, error) {
	s := sums{sha256: sha256.New()}
	if also == "" {
		return s, nil
	}
	var err error
	s.also, err = newHash(also)
	return s, err
}

func (s sums) write(bytes []byte) {
	s.sha256.Write(bytes) // a hash never fails
	if s.also != nil {
		s.also.Write(bytes)
	}
}

// digests returns the finished hashes in lower-case hex.
func (s sums) digests() (sha256, also string) {
	if s.also != nil {
		also = hex.EncodeToString(s.also.Sum(nil))
	}
	return hex.EncodeToString(s.sha256.Sum(nil)), also
}

// marshal returns the SHA-256 state, followed by the state of the second hash.
func (s sums) marshal() ([]byte, error) {
	state, err := s.sha256.(encoding.BinaryMarshaler).MarshalBinary()
	if err == nil && s.also != nil {
		var also []byte
		also, err = s.also.(encoding.BinaryMarshaler).MarshalBinary()
		state = append(state, also...)
	}
	if err != nil {
		return nil, fmt.Errorf("marshal the hash state: %w", err)
	}
	return state, nil
}

// unmarshal restores a state. It must contain the second hash if sums has one; an
// additional second hash is ignored.
func (s sums) unmarshal(state []byte) error {
	fresh, err := s.sha256.(encoding.BinaryMarshaler).MarshalBinary() // all states of a hash are of one length
	if err != nil || len(state) < len(fresh) {
		return errors.Join(errUnusable, err)
	}
	err = s.sha256.(encoding.BinaryUnmarshaler).UnmarshalBinary(state[:len(fresh)])
	if err == nil && s.also != nil {
		err = s.also.(encoding.BinaryUnmarshaler).UnmarshalBinary(state[len(fresh):])
	}
	if err != nil {
		return fmt.Errorf("%w: hash state: %w", errUnusable, err)
	}
	return nil
}

// Digest returns the SHA-256, in lower-case hex, of the bytes in a checkpoint, and
// reports whether its hash state is valid.
func (d *Direct) Digest(c ingest.TransferCheckpoint) (sha256 string, ok bool) {
	s, err := newSums("")
	if err == nil && c.Offset > 0 {
		err = s.unmarshal(c.HashState)
	}
	if err != nil {
		return "", false
	}
	sha256, _ = s.digests()
	return sha256, true
}

// resume returns the checkpoint to resume from with its hashes: the request's if
// it is consistent, else the beginning of the same upload.
func (d *Direct) resume(req ingest.DirectTransfer) (ingest.TransferCheckpoint, sums, error) {
	s, err := newSums(req.Also)
	if err != nil {
		return ingest.TransferCheckpoint{}, s, err
	}
	start := ingest.TransferCheckpoint{UploadID: req.UploadID, PartSize: d.PartSizeOf(req.Size)}
	if req.From.Offset == 0 && len(req.From.Parts) == 0 {
		return start, s, nil
	}
	err = checkTransfer(req)
	if err == nil {
		err = s.unmarshal(req.From.HashState)
	}
	if err == nil {
		return req.From, s, nil
	}
	d.cfg.Logger.Warn("restarting the transfer", "key", req.Key, "reason", err.Error())
	s, err = newSums(req.Also)
	return start, s, err
}

// checkTransfer returns why a checkpoint cannot be resumed.
func checkTransfer(req ingest.DirectTransfer) error {
	c := req.From
	switch {
	case c.UploadID != req.UploadID:
		return fmt.Errorf("%w: it belongs to another upload", errUnusable)
	case c.PartSize <= 0 || c.Offset <= 0 || c.Offset > req.Size:
		return fmt.Errorf("%w: %d of %d bytes in parts of %d", errUnusable, c.Offset, req.Size, c.PartSize)
	}
	var sum int64
	for i, part := range c.Parts {
		whole := part.Size == c.PartSize || sum+part.Size == req.Size && part.Size < c.PartSize
		if part.Number != i+1 || !whole || part.ETag == "" {
			return fmt.Errorf("%w: part %d is listed as number %d with %d bytes", errUnusable, i+1, part.Number, part.Size)
		}
		sum += part.Size
	}
	if sum != c.Offset {
		return fmt.Errorf("%w: its parts have %d bytes, not %d", errUnusable, sum, c.Offset)
	}
	return nil
}
