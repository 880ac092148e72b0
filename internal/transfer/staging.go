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
	// DefaultChunkSize is also the largest allowed: SFTP servers may answer a
	// longer request with 32 KiB and call it whole.
	DefaultChunkSize = 32 << 10
	// DefaultWindow of outstanding reads fills 2 MiB of bandwidth-delay product.
	DefaultWindow = 64
	// DefaultCheckpointBytes bounds the cost of a kill to a second or two of a
	// fast line.
	DefaultCheckpointBytes = 32 << 20
	// DefaultCheckpointInterval bounds it in time on a slow line.
	DefaultCheckpointInterval = 10 * time.Second
	// DefaultNoProgress is how long a source may give nothing.
	DefaultNoProgress = time.Minute
	// DefaultDrainTimeout is how long an ending Fetch waits for reads under way.
	DefaultDrainTimeout = time.Second
)

// Config says where and how files are staged. Only Dir is required; zero
// values of the others mean their defaults.
type Config struct {
	// Dir is the staging folder. It is made, with mode 0700, if it is missing.
	Dir string
	// ReserveBytes of the volume are always left free; default 0.
	ReserveBytes int64
	// ChunkSize is the length of one read in bytes; default and maximum 32 KiB.
	ChunkSize int
	// Window is how many reads are outstanding at once; default 64. A Fetch
	// takes at most Window x ChunkSize bytes of memory for buffers.
	Window int
	// ReadAhead bounds the memory for outstanding reads of all transfers that share
	// it; default nil, which is unlimited.
	ReadAhead *ReadAhead
	// CheckpointBytes is the most that a killed copy reads again; default 32 MiB.
	// A checkpoint is begun every half of it and written while the copy goes
	// on, but never more than one at a time.
	CheckpointBytes int64
	// CheckpointInterval is the longest time between two checkpoints while
	// bytes arrive; default 10 s.
	CheckpointInterval time.Duration
	// NoProgress is how long a source may give no bytes before Fetch fails with
	// KindTransient; default 1 min. It catches servers that answer for ever
	// without data.
	NoProgress time.Duration
	// PaceWindow is how long a source may stay below its minimum rate; default 1 min.
	PaceWindow time.Duration
	// DrainTimeout is how long an ending Fetch waits for reads that are still
	// under way; default 1 s.
	DrainTimeout time.Duration
	// Logger hears of checkpoints that had to be thrown away; nil discards.
	Logger *slog.Logger
}

// withDefaults returns c completed, or what is wrong with it.
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
	setDefault(&c.NoProgress, DefaultNoProgress)
	setDefault(&c.PaceWindow, DefaultPaceWindow)
	setDefault(&c.DrainTimeout, DefaultDrainTimeout)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.ReserveBytes < 0, c.ChunkSize < 0, c.Window < 0, c.CheckpointBytes < 0,
		c.CheckpointInterval < 0, c.NoProgress < 0, c.DrainTimeout < 0:
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

// Staging is a folder of files on their way. One process uses it at a time;
// its methods may be called concurrently.
type Staging struct {
	cfg    Config
	hostID string
	// place guards lock, which is renewed when the volume was away.
	place sync.Mutex
	lock  *os.File
	// room serialises what changes how much of the volume is promised.
	room sync.Mutex
	// failpoint is called between the steps of a save; an error ends the save
	// there as a kill would. Nil outside tests.
	failpoint func(point string) error
}

// Open makes or reopens a staging folder and locks it until Close. It fails
// when another process has it open.
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

// Close gives the folder free for another process. No other method may run or
// be called afterwards.
func (s *Staging) Close() error {
	s.place.Lock()
	defer s.place.Unlock()
	return s.lock.Close()
}

// HostID returns the staging volume's id, a UUID made when the folder was first
// used. It names the volume, not the process, and so survives restarts.
func (s *Staging) HostID() string { return s.hostID }

// lockDir takes the lock of the whole staging folder. The kernel gives it free
// when the process ends, however it ends.
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

// hostID returns the id kept in dir, made on first use. The caller holds the
// folder's lock.
func hostID(dir string) (string, error) {
	id, err := readHostID(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = uuid.NewString()
	if err := writeAtomic(hostIDPath(dir), []byte(id+"\n"), nil); err != nil {
		return "", fmt.Errorf("keep the staging folder's id: %w", err)
	}
	return id, nil
}

func hostIDPath(dir string) string { return filepath.Join(dir, "host-id") }

// readHostID returns the id kept in dir.
func readHostID(dir string) (string, error) {
	path := hostIDPath(dir)
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the staging folder's id: %w", err)
	}
	id := strings.TrimSpace(string(text))
	if !validUUID(id) {
		return "", ingest.Errorf(ingest.KindInvalid, "%s does not hold an id: remove it to get a new one (files staged here will be fetched again)", path)
	}
	return id, nil
}

// validUUID reports whether id is a UUID in its usual form, which also makes it
// a harmless file name.
func validUUID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}
