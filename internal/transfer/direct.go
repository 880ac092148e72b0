package transfer

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"stevedore/internal/ingest"
)

// Defaults of DirectConfig.
const (
	// DefaultPartSize keeps a lost part cheap; S3's minimum is 5 MiB.
	DefaultPartSize = 8 << 20
	// DefaultPartsInFlight overlaps the store's commit of a part with the next upload.
	DefaultPartsInFlight = 2
	// DefaultSaveInterval bounds the time that is repeated after a kill.
	DefaultSaveInterval = time.Second
	// DefaultSaveBytes bounds the repeated bytes for files up to 64 GiB; for larger
	// ones the bound is a thousandth of the size. A save writes the list of all parts,
	// so fewer saves are better.
	DefaultSaveBytes = 64 << 20
	// DefaultStopGrace is long enough for a part at 1 MiB/s.
	DefaultStopGrace = 20 * time.Second

	// maxParts is S3's limit for the parts of an object.
	maxParts = 10_000
)

// PartWriter stores parts of multipart uploads. Package objstore implements it.
type PartWriter interface {
	PutPart(ctx context.Context, req ingest.PutPart) (ingest.Part, error)
}

// DirectConfig configures transfers without a local disk. Parts is required; zero
// values of the others mean their defaults.
type DirectConfig struct {
	Parts PartWriter
	// Budget bounds the part buffers of all transfers; default a separate budget.
	Budget *Budget
	// PartSize is the part size in bytes for files up to 10,000 parts; default 8 MiB.
	// See PartSizeOf.
	PartSize int64
	// PartsInFlight is the number of concurrently sent parts of one file; default 2.
	PartsInFlight int
	// ChunkSize, Window, ReadAhead, AnswerTimeout and DrainTimeout are as in Config.
	ChunkSize     int
	Window        int
	ReadAhead     *ReadAhead
	AnswerTimeout time.Duration
	DrainTimeout  time.Duration
	// PaceWindow is the time that a source may stay below its minimum rate; default 1
	// min.
	PaceWindow time.Duration
	// StopGrace is the time for parts in flight to be stored after the transfer was
	// stopped or has failed; default 20 s.
	StopGrace time.Duration
	// SaveInterval is the longest time between two checkpoints while parts are stored;
	// default 1 s. SaveBytes is the number of stored bytes after which a checkpoint is
	// due, or a thousandth of the file if that is more; default 64 MiB. No part is
	// started more than twice that beyond the saved checkpoint. See MostReadAgain.
	SaveInterval time.Duration
	SaveBytes    int64
	// Logger logs unusable checkpoints; nil discards.
	Logger *slog.Logger
}

// Direct moves files from their server into multipart uploads. It is safe for
// concurrent use.
type Direct struct {
	cfg     DirectConfig
	buffers sync.Pool // of *[]byte with PartSize bytes
}

// NewDirect returns a Direct, or KindInvalid for a wrong configuration.
func NewDirect(cfg DirectConfig) (*Direct, error) {
	if cfg.Parts == nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers need an object store")
	}
	setDefault(&cfg.PartSize, DefaultPartSize)
	setDefault(&cfg.PartsInFlight, DefaultPartsInFlight)
	setDefault(&cfg.ChunkSize, DefaultChunkSize)
	setDefault(&cfg.Window, DefaultWindow)
	setDefault(&cfg.AnswerTimeout, DefaultAnswerTimeout)
	setDefault(&cfg.DrainTimeout, DefaultDrainTimeout)
	setDefault(&cfg.PaceWindow, DefaultPaceWindow)
	setDefault(&cfg.StopGrace, DefaultStopGrace)
	setDefault(&cfg.SaveInterval, DefaultSaveInterval)
	setDefault(&cfg.SaveBytes, DefaultSaveBytes)
	if cfg.Budget == nil {
		cfg.Budget = NewBudget(0)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.PartSize < 0, cfg.PartsInFlight < 0, cfg.ChunkSize < 0, cfg.Window < 0, cfg.AnswerTimeout < 0,
		cfg.DrainTimeout < 0, cfg.StopGrace < 0, cfg.SaveInterval < 0, cfg.SaveBytes < 0:
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers: sizes and times must not be negative")
	case cfg.ChunkSize > DefaultChunkSize:
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers: chunk size %d is larger than %d bytes, which some servers cut short", cfg.ChunkSize, DefaultChunkSize)
	}
	return &Direct{cfg: cfg}, nil
}

// PartSizeOf returns the part size for a file of size bytes: the configured one,
// doubled until at most 10,000 parts are needed. Each part is in memory: the parts
// of files over 1.25 TiB are larger than the default budget, so one at a time is
// sent.
func (d *Direct) PartSizeOf(size int64) int64 {
	part := d.cfg.PartSize
	for (size+part-1)/part > maxParts {
		part *= 2
	}
	return part
}

// MostReadAgain returns the maximum number of bytes that are re-read after a
// worker was killed: twice the bytes between checkpoints, the parts in flight, the
// part being filled and the outstanding reads.
func (d *Direct) MostReadAgain(size int64) int64 {
	parts := int64(d.cfg.PartsInFlight+1) * d.PartSizeOf(size)
	return 2*max(d.cfg.SaveBytes, size/1000) + parts + int64(d.cfg.Window*d.cfg.ChunkSize)
}

// Copy reads exactly req.Size bytes from the source, in order and pipelined, and
// stores them as the parts of the upload while hashing them. It returns after all
// parts are stored, the checkpoint with all parts is saved, and the source has
// reported the end of the file. The caller must stat the source for later growth,
// and complete the upload: until then the store shows nothing.
//
// A file of at most one part is better moved by Read and one request; Copy makes
// an upload of one part. An empty file is KindInvalid.
//
// A checkpoint contains the contiguous stored parts and the hash state at their
// end. It is saved at least every SaveInterval while parts are stored. If Copy
// ends early, parts in flight get StopGrace and the progress is saved. Reasons are
// ctx (its error), req.Stop (ingest.ErrStopped), a failed read or part (its
// error), and no bytes for AnswerTimeout (KindTransient). A source that is shorter or
// longer than req.Size is KindChanged.
//
// Copy does not wait for hanging reads: after an error the caller closes the
// source, which ends them.
func (d *Direct) Copy(ctx context.Context, req ingest.DirectTransfer) (ingest.DirectResult, error) {
	if req.Size <= 0 || req.Source == nil || req.Save == nil || req.UploadID == "" {
		return ingest.DirectResult{}, ingest.Errorf(ingest.KindInvalid, "direct transfer of %s needs an upload id, a source, a checkpoint function and a size, got %d bytes", req.Key, req.Size)
	}
	from, hashes, err := d.resume(req)
	if err != nil {
		return ingest.DirectResult{}, err
	}
	if from.Offset > 0 && req.Resumed != nil {
		if err := req.Resumed(from.Offset); err != nil {
			return ingest.DirectResult{}, err
		}
	}
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	m := newMove(d, req, from, hashes)
	m.out = newSender(sending, d, req, from)
	m.progress()
	if err := m.out.finish(ctx, m.run(ctx), cancel); err != nil {
		return ingest.DirectResult{}, err
	}
	digest, also := hashes.digests()
	return ingest.DirectResult{Checkpoint: m.out.stored, SHA256: digest, Also: also, ResumedFrom: from.Offset}, nil
}

// Read reads exactly req.Size bytes into memory from the budget, with the same
// checks as Copy: Source, Reopen, Progress and Stop of the request apply. It is
// for files that are stored by one request.
func (d *Direct) Read(ctx context.Context, req ingest.DirectTransfer) (ingest.SmallFile, error) {
	if req.Size < 0 || req.Source == nil {
		return ingest.SmallFile{}, ingest.Errorf(ingest.KindInvalid, "reading %s needs a source and a size, got %d bytes", req.Key, req.Size)
	}
	buffer, err := d.buffer(ctx, req.Size)
	if err != nil {
		return ingest.SmallFile{}, err
	}
	hashes, err := newSums("")
	if err != nil {
		buffer.release()
		return ingest.SmallFile{}, err
	}
	m := newMove(d, req, ingest.TransferCheckpoint{}, hashes)
	m.part = &buffer
	if err := m.run(ctx); err != nil {
		buffer.release()
		return ingest.SmallFile{}, err
	}
	digest, _ := hashes.digests()
	return ingest.SmallFile{Body: buffer.body, SHA256: digest, Release: buffer.release}, nil
}

// partBuffer is the memory of one part.
type partBuffer struct {
	body    []byte
	release func()
}

// buffer acquires size bytes from the budget. Buffers of the usual size are reused.
func (d *Direct) buffer(ctx context.Context, size int64) (partBuffer, error) {
	free, err := d.cfg.Budget.Acquire(ctx, size)
	if err != nil {
		return partBuffer{}, err
	}
	if size != d.cfg.PartSize {
		return partBuffer{body: make([]byte, size), release: free}, nil
	}
	pooled, ok := d.buffers.Get().(*[]byte)
	if !ok {
		fresh := make([]byte, size)
		pooled = &fresh
	}
	return partBuffer{body: *pooled, release: sync.OnceFunc(func() {
		d.buffers.Put(pooled)
		free()
	})}, nil
}
