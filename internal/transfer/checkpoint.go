package transfer

import (
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io/fs"
	"os"

	"stevedore/internal/ingest"
)

// algoSHA256 is the only hash algorithm of checkpoints.
const algoSHA256 = "sha256"

// version identifies a file version: size in bytes and times in Unix seconds.
type version struct {
	Size    int64 `json:"size"`
	ModTime int64 `json:"mtime"`
	Shown   int64 `json:"shown,omitempty"`
}

// checkpoint is the progress of a copy. The zero value is the beginning.
type checkpoint struct {
	Version version `json:"version"`
	// Origin is the source of the bytes.
	Origin ingest.Origin `json:"origin,omitzero"`
	// Offset is the number of bytes on disk and in the hash.
	Offset int64 `json:"offset"`
	// Algo is the hash algorithm; State is its marshaled state after Offset bytes.
	Algo  string `json:"algo"`
	State []byte `json:"state"`
	// Digest is the hash of all bytes in hex; set when the copy is complete.
	Digest string `json:"digest,omitempty"`
}

// checksummed is the form of a checkpoint on disk. Its checksum detects a damaged hash
// state, which would otherwise be accepted.
type checksummed struct {
	Checkpoint json.RawMessage `json:"checkpoint"`
	CRC32C     uint32          `json:"crc32c"`
}

// castagnoli has hardware support.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errUnusable marks a checkpoint from which a copy cannot resume.
var errUnusable = errors.New("checkpoint is unusable")

// complete reports whether the copy has all bytes.
func (c checkpoint) complete() bool { return c.Digest != "" }

// snapshot returns the checkpoint after offset hashed bytes.
func snapshot(v version, offset int64, h hash.Hash) (checkpoint, error) {
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		return checkpoint{}, fmt.Errorf("marshal the hash state: %w", err)
	}
	return checkpoint{Version: v, Offset: offset, Algo: algoSHA256, State: state}, nil
}

// finish returns the checkpoint of a complete copy.
func finish(v version, h hash.Hash) (checkpoint, error) {
	c, err := snapshot(v, v.Size, h)
	c.Digest = hex.EncodeToString(h.Sum(nil))
	return c, err
}

// hash returns the hash in its state at the checkpoint.
func (c checkpoint) hash() (hash.Hash, error) {
	h := sha256.New()
	if c.Offset == 0 {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(c.State); err != nil {
		return nil, fmt.Errorf("%w: hash state: %w", errUnusable, err)
	}
	return h, nil
}

// encode returns the form of the checkpoint on disk.
func (c checkpoint) encode() ([]byte, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the checkpoint: %w", err)
	}
	return json.Marshal(checksummed{Checkpoint: body, CRC32C: crc32.Checksum(body, castagnoli)})
}

// decode parses the result of encode, or returns errUnusable.
func decode(text []byte) (checkpoint, error) {
	var s checksummed
	if err := json.Unmarshal(text, &s); err != nil {
		return checkpoint{}, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if crc32.Checksum(s.Checkpoint, castagnoli) != s.CRC32C {
		return checkpoint{}, fmt.Errorf("%w: checksum mismatch", errUnusable)
	}
	var c checkpoint
	if err := json.Unmarshal(s.Checkpoint, &c); err != nil {
		return checkpoint{}, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if c.Algo != algoSHA256 || c.Offset < 0 || c.Offset > c.Version.Size {
		return checkpoint{}, fmt.Errorf("%w: algorithm %q at %d of %d bytes", errUnusable, c.Algo, c.Offset, c.Version.Size)
	}
	return c, nil
}

// load returns the folder's checkpoint, checked against the length of the data. It
// returns fs.ErrNotExist without a checkpoint, and errUnusable for an inconsistent
// one.
func (f folder) load() (checkpoint, error) {
	text, err := os.ReadFile(f.checkpoint())
	if err != nil {
		return checkpoint{}, err
	}
	c, err := decode(text)
	if err != nil {
		return checkpoint{}, err
	}
	info, err := os.Stat(f.data())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return checkpoint{}, fmt.Errorf("%w: the data file is missing", errUnusable)
	case err != nil:
		return checkpoint{}, err
	case info.Size() < c.Offset, c.complete() && info.Size() != c.Version.Size:
		return checkpoint{}, fmt.Errorf("%w: it records %d bytes, the data file has %d", errUnusable, c.Offset, info.Size())
	}
	return c, nil
}

// resume returns the checkpoint to resume from: the folder's if it is usable and
// of the requested version, else the beginning.
func (s *Staging) resume(f folder, req ingest.Fetch) (checkpoint, hash.Hash, error) {
	want := version{Size: req.Size, ModTime: req.ModTime, Shown: req.Shown}
	c, err := f.load()
	switch {
	case err != nil:
	case c.Version != want:
		err = fmt.Errorf("%w: it belongs to another version", errUnusable)
	case !c.complete() && !ingest.SameOpenTime(c.Version.Shown, want.Shown):
		err = fmt.Errorf("%w: the server does not show the time of the open file", errUnusable)
	}
	var h hash.Hash
	if err == nil {
		h, err = c.hash()
	}
	switch {
	case err == nil:
		return c, h, nil
	case errors.Is(err, errUnusable):
		s.cfg.Logger.Warn("restarting the copy", "file_uuid", req.FileUUID, "reason", err.Error())
	case !errors.Is(err, fs.ErrNotExist):
		return checkpoint{}, nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	return checkpoint{Version: want}, sha256.New(), nil
}
