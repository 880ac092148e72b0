package ingest

import (
	"context"
	"io"
	"time"
)

// DirectTransfer asks for the bytes of one file version to be moved from its
// server into the parts of a multipart upload.
type DirectTransfer struct {
	// Key and UploadID name the upload.
	Key      string
	UploadID string
	// Size in bytes is the version's; exactly so many bytes are read.
	Size int64
	// MinRate in bytes per second ends a transfer whose source stays below it for a
	// minute, with KindSlow; 0 is any.
	MinRate int64
	// Silence is how long the source may bring nothing; 0 is as direct transfers are configured.
	Silence time.Duration
	// Source gives the remote bytes by offset.
	Source io.ReaderAt
	// Reopen, may be nil, returns a new source after the connection of the last
	// one broke. It is called only when bytes came since the last time: a part
	// that is not complete yet would be lost otherwise.
	Reopen func(ctx context.Context) (io.ReaderAt, error)
	// From is the checkpoint to resume from; the zero value is the beginning. One
	// that contradicts itself is ignored.
	From TransferCheckpoint
	// Also names a further hash to compute, "md5", because nothing can be read
	// again later; empty for none.
	Also string
	// Save keeps a checkpoint; its error ends the transfer. It is not called
	// concurrently.
	Save func(TransferCheckpoint) error
	// Resumed, may be nil, is called before anything is read when the transfer
	// resumes from From, with its offset in bytes; its error ends the transfer.
	Resumed func(offset int64) error
	// Progress, may be nil, is called with the bytes read so far, often; Moved, may
	// be nil, concurrently whenever bytes went to the store.
	Progress func(done int64)
	Moved    func()
	// Stop, may be nil: when closed, no more bytes are read, parts under way get
	// some time to be stored, and the transfer ends with ErrStopped.
	Stop <-chan struct{}
}

// DirectResult is a transfer all of whose bytes are in parts.
type DirectResult struct {
	// Checkpoint has every part; it was saved.
	Checkpoint TransferCheckpoint
	// SHA256 is that of all bytes in lower-case hex, Also by the further hash.
	SHA256 string
	Also   string
	// ResumedFrom is the offset of the checkpoint that was resumed from.
	ResumedFrom int64
}

// SmallFile is a file that was read into memory.
type SmallFile struct {
	// Body holds all bytes, SHA256 is theirs in lower-case hex.
	Body   []byte
	SHA256 string
	// Release gives the memory back. Body must not be used afterwards.
	Release func()
}

// PutPart asks for one part of a multipart upload to be stored. Storing a part
// again replaces it.
type PutPart struct {
	Key      string
	UploadID string
	// Number counts from 1.
	Number int
	// Body holds the part's bytes, SHA256 is theirs.
	Body   []byte
	SHA256 [32]byte
	// Moved, may be nil, is called when bytes went out, stored or not.
	Moved func()
}

// CompleteUpload asks for the parts of a direct transfer to become an object,
// once.
type CompleteUpload struct {
	Key      string
	UploadID string
	// Parts are all parts in order, SHA256 is that of all their bytes in
	// lower-case hex.
	Parts  []Part
	SHA256 string
	// Moved, may be nil, is called while an object that is there already is read.
	Moved func()
}
