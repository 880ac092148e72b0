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
	// DefaultPartsInFlight hide the store's commit of a part behind the next one.
	DefaultPartsInFlight = 2
	// DefaultSaveInterval bounds what a kill costs in time.
	DefaultSaveInterval = time.Second
	// DefaultSaveBytes bounds it in bytes for files up to 64 GiB; of larger ones it
	// is a thousandth. A save writes the list of all parts, so fewer are better.
	DefaultSaveBytes = 64 << 20
	// DefaultStopGrace lets a part get through a line of 1 MiB/s.
	DefaultStopGrace = 20 * time.Second

	// maxParts is S3's limit for the parts of an object.
	maxParts = 10_000
)

// PartWriter stores the parts of multipart uploads. See package objstore.
type PartWriter interface {
	PutPart(ctx context.Context, req ingest.PutPart) (ingest.Part, error)
}

// DirectConfig says how files are moved without a local disk. Parts is required;
// zero values of the others mean their defaults.
type DirectConfig struct {
	Parts PartWriter
	// Budget bounds the part buffers of all transfers; default is one of its own.
	Budget *Budget
	// PartSize in bytes of files up to 10,000 parts; default 8 MiB. See PartSizeOf.
	PartSize int64
	// PartsInFlight is how many parts of one file are sent at once; default 2.
	PartsInFlight int
	// ChunkSize, Window, ReadAhead, NoProgress and DrainTimeout are those of Config.
	ChunkSize    int
	Window       int
	ReadAhead    *ReadAhead
	NoProgress   time.Duration
	DrainTimeout time.Duration
	// PaceWindow is how long a source may stay below its minimum rate; default 1 m.
	PaceWindow time.Duration
	// StopGrace is how long parts under way may take to be stored after the
	// transfer was stopped or has failed; default 20 s.
	StopGrace time.Duration
	// SaveInterval is the longest time between two checkpoints while parts are
	// stored; default 1 s. SaveBytes stored since the last one also make one, or a
	// thousandth of the file if that is more; default 64 MiB. No part is begun that
	// far twice beyond the last checkpoint in the ledger. See MostReadAgain.
	SaveInterval time.Duration
	SaveBytes    int64
	// Logger gets checkpoints that could not be used; nil discards.
	Logger *slog.Logger
}

// Direct moves files from their server into multipart uploads. It is safe for
// concurrent use.
type Direct struct {
	cfg     DirectConfig
	buffers sync.Pool // of *[]byte with PartSize bytes
}

// NewDirect returns a Direct, or what is wrong with the configuration.
func NewDirect(cfg DirectConfig) (*Direct, error) {
	if cfg.Parts == nil {
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers need an object store")
	}
	setDefault(&cfg.PartSize, DefaultPartSize)
	setDefault(&cfg.PartsInFlight, DefaultPartsInFlight)
	setDefault(&cfg.ChunkSize, DefaultChunkSize)
	setDefault(&cfg.Window, DefaultWindow)
	setDefault(&cfg.NoProgress, DefaultNoProgress)
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
	case cfg.PartSize < 0, cfg.PartsInFlight < 0, cfg.ChunkSize < 0, cfg.Window < 0, cfg.NoProgress < 0,
		cfg.DrainTimeout < 0, cfg.StopGrace < 0, cfg.SaveInterval < 0, cfg.SaveBytes < 0:
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers: sizes and times must not be negative")
	case cfg.ChunkSize > DefaultChunkSize:
		return nil, ingest.Errorf(ingest.KindInvalid, "direct transfers: chunk size %d is larger than %d bytes, which some servers cut short", cfg.ChunkSize, DefaultChunkSize)
	}
	return &Direct{cfg: cfg}, nil
}

// PartSizeOf returns the part size for a file of size bytes: the configured one,
// doubled until at most 10,000 parts are needed. A part is in memory as a whole:
// files over 1.25 TiB have parts larger than the default budget and take all of
// it, one part at a time.
func (d *Direct) PartSizeOf(size int64) int64 {
	part := d.cfg.PartSize
	for (size+part-1)/part > maxParts {
		part *= 2
	}
	return part
}

// MostReadAgain returns how many bytes of a file of size bytes a killed worker
// can cost: twice what makes a checkpoint due, the parts under way, the part
// being filled and the reads ahead.
func (d *Direct) MostReadAgain(size int64) int64 {
	parts := int64(d.cfg.PartsInFlight+1) * d.PartSizeOf(size)
	return 2*max(d.cfg.SaveBytes, size/1000) + parts + int64(d.cfg.Window*d.cfg.ChunkSize)
}

// Copy reads exactly req.Size bytes from the source, in order and pipelined, and
// stores them as the parts of the upload while it hashes them. It returns once
// all parts are stored, the checkpoint that lists them is saved and the source has
// answered that nothing follows them. Whether it has grown since is for the caller
// to stat, and nothing is visible in the
// store until the caller completes the upload.
//
// Files of at most one part are better moved by Read and one request; Copy makes
// them an upload of one part. An empty file is KindInvalid.
//
// A checkpoint holds the stored parts without a gap, and the state of the hash
// at their end. It is saved at least every SaveInterval while parts are stored,
// so that a kill costs what came since then and the parts under way. Whatever
// ends Copy early, parts under way get StopGrace to be stored and the progress is
// saved: ctx (its error), req.Stop (ingest.ErrStopped), a failed read or part
// (its error), no bytes for NoProgress (KindTransient). A source that ends before
// req.Size or goes on behind it is KindChanged.
//
// Copy does not wait for reads that hang: after an error the caller closes the
// source, which ends them.
func (d *Direct) Copy(ctx context.Context, req ingest.DirectTransfer) (ingest.DirectResult, error) {
	if req.Size <= 0 || req.Source == nil || req.Save == nil || req.UploadID == "" {
		return ingest.DirectResult{}, ingest.Errorf(ingest.KindInvalid, "direct transfer of %s needs an upload, a source, a place for checkpoints and a size, got %d bytes", req.Key, req.Size)
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

// Read reads exactly req.Size bytes into memory taken from the budget, with the
// same guards as Copy: Source, Reopen, Progress and Stop of the request apply.
// It is for files that are stored by one request.
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

// partBuffer holds the bytes of one part.
type partBuffer struct {
	body    []byte
	release func()
}

// buffer returns size bytes of the budget. Those of the usual size are reused.
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
