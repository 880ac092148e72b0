package transfer

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stevedore/internal/ingest"
)

// Staged returns a file whose bytes are all here, or KindStagingLost.
func (s *Staging) Staged(ctx context.Context, fileUUID string) (staged ingest.Staged, err error) {
	defer s.explain(&err)
	f, err := s.folder(fileUUID)
	if err != nil {
		return ingest.Staged{}, err
	}
	if err := ctx.Err(); err != nil {
		return ingest.Staged{}, err
	}
	c, err := f.load()
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errUnusable):
		return ingest.Staged{}, lost(fileUUID, err)
	case err != nil:
		return ingest.Staged{}, fmt.Errorf("read the checkpoint: %w", err)
	case !c.complete():
		return ingest.Staged{}, lost(fileUUID, fmt.Errorf("only %d of %d bytes are there", c.Offset, c.Version.Size))
	}
	return ingest.Staged{
		Path: f.data(), Size: c.Version.Size, SHA256: c.Digest, ResumedFrom: c.Version.Size, Origin: c.Origin, ModTime: c.Version.ModTime,
	}, nil
}

// lost is the error for staged bytes that are not there.
func lost(fileUUID string, cause error) error {
	return ingest.Wrap(ingest.KindStagingLost, cause, "staged bytes of %s are not on this worker: fetch the file again", fileUUID)
}

// Digests re-reads the staged bytes and returns how many there are and their
// lower-case hex digests by the named algorithms. Progress, may be nil,
// is called with the bytes read so far. Missing data is
// KindStagingLost.
func (s *Staging) Digests(ctx context.Context, fileUUID string, progress func(done int64), algos ...string) (size int64, digests map[string]string, err error) {
	defer s.explain(&err)
	f, err := s.folder(fileUUID)
	if err != nil {
		return 0, nil, err
	}
	hashes, all, err := newHashes(algos)
	if err != nil {
		return 0, nil, err
	}
	data, err := os.Open(f.data())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, lost(fileUUID, err)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("open staged data: %w", err)
	}
	defer func() { _ = data.Close() }() // only read
	size, err = readAll(ctx, data, all, progress)
	if err != nil {
		return size, nil, fmt.Errorf("re-read staged data: %w", err)
	}
	digests = make(map[string]string, len(hashes))
	for algo, h := range hashes {
		digests[algo] = hex.EncodeToString(h.Sum(nil))
	}
	return size, digests, nil
}

// newHashes returns a hash for each algorithm and a writer that feeds them all.
func newHashes(algos []string) (map[string]hash.Hash, io.Writer, error) {
	hashes := make(map[string]hash.Hash, len(algos))
	var writers []io.Writer
	for _, algo := range algos {
		if hashes[algo] != nil {
			continue
		}
		h, err := newHash(algo)
		if err != nil {
			return nil, nil, err
		}
		hashes[algo] = h
		writers = append(writers, hashes[algo])
	}
	return hashes, io.MultiWriter(writers...), nil
}

// readBufferSize is large enough that reading costs nothing beside hashing, and
// small enough that cancelling is felt at once.
const readBufferSize = 1 << 20

// readAll feeds everything in r to w, until ctx ends.
func readAll(ctx context.Context, r io.Reader, w io.Writer, progress func(int64)) (total int64, err error) {
	buf := make([]byte, readBufferSize)
	for {
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := r.Read(buf)
		if n > 0 {
			_, _ = w.Write(buf[:n]) // hashes never fail
			total += int64(n)
			if progress != nil {
				progress(total)
			}
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// Discard removes everything of the file; nothing there is no error. While an
// attempt still fetches the file it returns KindTransient and removes nothing.
func (s *Staging) Discard(fileUUID string) (err error) {
	defer s.explain(&err)
	f, err := s.folder(fileUUID)
	if err != nil {
		return err
	}
	f, err = f.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.unlock()
	// A crash that undoes the removal gives back a whole file or an unusable
	// checkpoint; both are noticed, so there is nothing to sync.
	if err := os.RemoveAll(f.path); err != nil {
		return fmt.Errorf("discard staged file: %w", err)
	}
	return nil
}

// List returns the files held in staging, in order of uuid. Foreign names in
// the folder are left out. The reconciler discards what nobody owns.
func (s *Staging) List() (held []ingest.Held, err error) {
	defer s.explain(&err)
	if err := s.present(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(s.cfg.Dir, "files"))
	if err != nil {
		return nil, fmt.Errorf("list the staging folder: %w", err)
	}
	for _, entry := range entries {
		f, err := s.named(entry.Name())
		if err != nil || !entry.IsDir() {
			continue
		}
		if touched := f.touched(); !touched.IsZero() {
			held = append(held, ingest.Held{FileUUID: entry.Name(), Age: max(0, time.Since(touched))})
		}
	}
	return held, nil
}

// touched returns when anything of the file was last written; zero when it has
// been discarded meanwhile.
func (f folder) touched() time.Time {
	var newest time.Time
	for _, path := range []string{f.path, f.data(), f.checkpoint()} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}
