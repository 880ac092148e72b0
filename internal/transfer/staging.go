package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// Defaults of Config, and the limit of ChunkSize.
const (
	// DefaultChunkSize is also the maximum: SFTP servers may answer a longer request
	// with 32 KiB only.
	DefaultChunkSize = 32 << 10
	// DefaultWindow of outstanding reads covers 2 MiB of bandwidth-delay product.
	DefaultWindow = 64
	// DefaultCheckpointBytes bounds the bytes repeated after a kill.
	DefaultCheckpointBytes = 32 << 20
	// DefaultCheckpointInterval bounds the repeated time on a slow connection.
	DefaultCheckpointInterval = 10 * time.Second
	// DefaultAnswerTimeout is the longest time without a byte from a source.
	DefaultAnswerTimeout = time.Minute
	// DefaultDrainTimeout is the time that an ending Fetch waits for reads in flight.
	DefaultDrainTimeout = time.Second
)

// Config configures staging. Only Dir is required; zero values of the others mean
// their defaults.
type Config struct {
	// Dir is the staging folder. It is created with mode 0700 if it is missing.
	Dir string
	// ReserveBytes is the space on the volume that is always left free; default 0.
	ReserveBytes int64
	// ChunkSize is the length of one read in bytes; default and maximum 32 KiB.
	ChunkSize int
	// Window is the number of outstanding reads; default 64. A Fetch uses at most
	// Window x ChunkSize bytes for buffers.
	Window int
	// ReadAhead bounds the memory for outstanding reads of all transfers; default nil,
	// which is unlimited.
	ReadAhead *ReadAhead
	// CheckpointBytes is the maximum number of bytes that are re-read after a kill;
	// default 32 MiB. A checkpoint is started after each half of it and written
	// concurrently, one at a time.
	CheckpointBytes int64
	// CheckpointInterval is the longest time between two checkpoints while bytes
	// arrive; default 10 s.
	CheckpointInterval time.Duration
	// AnswerTimeout is the longest time without a byte from a source before Fetch fails
	// with KindTransient; default 1 min. It detects servers that respond endlessly
	// without data.
	AnswerTimeout time.Duration
	// PaceWindow is the time that a source may stay below its minimum rate; default 1
	// min.
	PaceWindow time.Duration
	// DrainTimeout is the time that an ending Fetch waits for reads in flight; default
	// 1 s.
	DrainTimeout time.Duration
	// Logger logs discarded checkpoints; nil discards.
	Logger *slog.Logger
}

// withDefaults returns c with defaults, or KindInvalid for a wrong configuration.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, ingest.Errorf(ingest.KindInvalid, "no staging folder is configured: set STEVEDORE_STAGING_DIR")
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return c, fmt.Errorf("staging folder %q: %w", c.Dir, err)
	}
	c.Dir = dir
	setDefault(&c.ChunkSize, DefaultChunkSize)
	setDefault(&c.Window, DefaultWindow)
	setDefault(&c.CheckpointBytes, DefaultCheckpointBytes)
	setDefault(&c.CheckpointInterval, DefaultCheckpointInterval)
	setDefault(&c.AnswerTimeout, DefaultAnswerTimeout)
	setDefault(&c.PaceWindow, DefaultPaceWindow)
	setDefault(&c.DrainTimeout, DefaultDrainTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.ReserveBytes < 0, c.ChunkSize < 0, c.Window < 0, c.CheckpointBytes < 0,
		c.CheckpointInterval < 0, c.AnswerTimeout < 0, c.DrainTimeout < 0:
		return c, ingest.Errorf(ingest.KindInvalid, "staging: sizes and times must not be negative")
	case c.ChunkSize > DefaultChunkSize:
		return c, ingest.Errorf(ingest.KindInvalid, "staging: chunk size %d is larger than %d bytes, which some servers cut short", c.ChunkSize, DefaultChunkSize)
	}
	return c, nil
}

// setDefault sets a zero value to its default.
func setDefault[T comparable](value *T, standard T) {
	var zero T
	if *value == zero {
		*value = standard
	}
}

// Staging is the folder of files between download and upload. One process uses it
// at a time; its methods are safe for concurrent use.
type Staging struct {
	cfg    Config
	hostID string
	// lockMu guards lock, which is replaced when the volume was remounted.
	lockMu sync.Mutex
	lock   *os.File
	// spaceMu serializes reservations.
	spaceMu sync.Mutex
	// failpoint is called at the points of a save; an error ends the save there as a
	// crash would. Nil outside tests.
	failpoint func(point string) error
}

// Open creates or opens a staging folder and locks it until Close. It fails when
// another process has locked it.
func Open(cfg Config) (*Staging, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "files"), 0o700); err != nil {
		return nil, fmt.Errorf("make the staging folder: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	id, err := hostID(cfg.Dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Staging{cfg: cfg, hostID: id, lock: lock}, nil
}

// Close releases the folder for other processes. No other method may be running or
// called afterwards.
func (s *Staging) Close() error {
	s.lockMu.Lock()
	defer s.lockMu.Unlock()
	return s.lock.Close()
}

// HostID returns the staging volume's id, a UUID created on first use. It
// identifies the volume, not the process, and so survives restarts.
func (s *Staging) HostID() string { return s.hostID }

// lockDir locks the staging folder. The kernel releases the lock when the process
// ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the staging folder: %w", err)
	}
	err = flock(f)
	if err == nil {
		return f, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, ingest.Errorf(ingest.KindInvalid, "staging folder %s is used by another worker: give each worker its own STEVEDORE_STAGING_DIR", dir)
	}
	return nil, fmt.Errorf("lock the staging folder %s: %w", dir, err)
}

// hostID returns the id stored in dir, which is created on first use. The caller
// holds the folder's lock.
func hostID(dir string) (string, error) {
	id, err := readHostID(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = uuid.NewString()
	if err := writeAtomic(hostIDPath(dir), []byte(id+"\n"), nil); err != nil {
		return "", fmt.Errorf("store the staging folder's id: %w", err)
	}
	return id, nil
}

func hostIDPath(dir string) string { return filepath.Join(dir, "host-id") }

// readHostID returns the id stored in dir.
func readHostID(dir string) (string, error) {
	path := hostIDPath(dir)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the staging folder's id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !validUUID(id) {
		return "", ingest.Errorf(ingest.KindInvalid, "%s does not contain an id: remove it to create a new one (staged files will be fetched again)", path)
	}
	return id, nil
}

// validUUID reports whether id is a UUID in canonical form, and so also a safe
// file name.
func validUUID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}
