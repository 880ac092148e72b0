package demo

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// largeBytes is the size of the large sample.
const largeBytes = 300 << 20

// sample is one file that the demo expects to arrive.
type sample struct {
	// path is relative to the server's root, with slashes.
	server, path string
	size         int64
	// sidecar adds a checksum file.
	sidecar bool
}

// samples returns files of kinds that break naive scripts.
func samples() []sample {
	return []sample{
		{server: "acme", path: "orders-2026-11.csv", size: 48_213},
		{server: "acme", path: "empty.flag", size: 0},
		{server: "acme", path: "nested/deep/deeper/report.xml", size: 9_001},
		{server: "acme", path: "north/daily.csv", size: 1_200},
		{server: "acme", path: "south/daily.csv", size: 1_300},
		{server: "acme", path: "signed/payments.dat", size: 700_000, sidecar: true},
		{server: "acme", path: "large/backup-300MB.bin", size: largeBytes},
		{server: "globex", path: "Отчёты/итоги за ноябрь.txt", size: 20_480},
		{server: "globex", path: "with spaces/my file (final) v2.pdf", size: 333_333},
		{server: "globex", path: "daily.csv", size: 1_400},
	}
}

// slow is the file that is still being written during the first scan.
var slow = sample{server: "globex", path: "incoming/still-being-written.log"}

// remotePath returns its path on the server.
func (s sample) remotePath(root string) string {
	return filepath.Join(root, filepath.FromSlash(s.path))
}

// sidecarSuffix is the suffix of checksum files.
const sidecarSuffix = ".sha256"

// write creates the sample unless it exists. It renames the complete file in, after its
// checksum file. The content depends on the name only, so that a second demo has the
// same files and must not ingest them again.
func (s sample) write(root string) error {
	name := s.remotePath(root)
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	seed := sha256.Sum256([]byte(s.server + "/" + s.path))
	hash := sha256.New()
	draft := filepath.Join(filepath.Dir(root), "draft")
	file, err := os.Create(draft)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.MultiWriter(file, hash), rand.NewChaCha8(seed), s.size)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if s.sidecar {
		line := fmt.Sprintf("%s  %s\n", hex.EncodeToString(hash.Sum(nil)), filepath.Base(name))
		if err := os.WriteFile(name+sidecarSuffix, []byte(line), 0o644); err != nil {
			return err
		}
	}
	return os.Rename(draft, name)
}

// writeSlowly appends to the slow file every half second for the duration, which exceeds
// the first listing and the settle time. Each demo creates it again: other content under
// the same name is another version.
func (s sample) writeSlowly(root string, duration time.Duration) (done <-chan error, err error) {
	name := s.remotePath(root)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	line := func() error {
		_, err := fmt.Fprintf(file, "%s %s\n", time.Now().Format(time.RFC3339Nano), bytes.Repeat([]byte("x"), 500))
		return err
	}
	if err := line(); err != nil {
		return nil, err
	}
	finished := make(chan error, 1)
	go func() {
		var err error
		for time.Since(began) < duration && err == nil {
			time.Sleep(500 * time.Millisecond)
			err = line()
		}
		finished <- errors.Join(err, file.Close())
	}()
	return finished, nil
}

// hashFile returns the SHA-256 and size of a local file.
func hashFile(name string) (digest string, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = file.Close() }()
	return hashReader(file)
}

func hashReader(r io.Reader) (digest string, size int64, err error) {
	hash := sha256.New()
	size, err = io.Copy(hash, r)
	return hex.EncodeToString(hash.Sum(nil)), size, err
}
