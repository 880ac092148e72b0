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

// Staged returns the file if all its bytes are staged, or KindStagingLost.
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

// lost returns the error for missing staged bytes.
func lost(fileUUID string, cause error) error {
	return ingest.Wrap(ingest.KindStagingLost, cause, "staged bytes of %s are missing on this worker: the file must be fetched again", fileUUID)
}

// Digests re-reads the staged bytes and returns their number and their digests by
// the algorithms, in lower-case hex. progress, if not nil, is called with the
// number of bytes read. Missing data is KindStagingLost.
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

// newHashes returns a hash for each algorithm and a writer to all of them.
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

// readBufferSize makes reading cheap compared to hashing, and cancellation prompt.
const readBufferSize = 1 << 20

// readAll copies r to w until ctx ends.
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

// Discard removes the file's data; it is idempotent. While an attempt fetches the
// file it returns KindTransient and removes nothing.
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
	// A crash that undoes the removal leaves a complete file or an unusable
	// checkpoint. Both are detected, so no sync is needed.
	if err := os.RemoveAll(f.path); err != nil {
		return fmt.Errorf("discard staged file: %w", err)
	}
	return nil
}

// List returns the files with data in staging, in order of uuid, ignoring foreign
// names. Reconciliation discards orphans.
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

// touched returns the time of the last write to the file's data; zero if it was
// discarded concurrently.
func (f folder) touched() time.Time {
	var newest time.Time
	for _, path := range []string{f.path, f.data(), f.checkpoint()} {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	return newest
}
