package ingest

import (
	"context"
	"io"
	"time"
)

// DirectTransfer is a request to move the bytes of one file version from its
// server into the parts of a multipart upload.
type DirectTransfer struct {
	// Key and UploadID identify the upload.
	Key      string
	UploadID string
	// Size is the size of the version in bytes. Exactly this many bytes are read.
	Size int64
	// MinRate, in bytes per second, ends the transfer with KindSlow when the source
	// stays below it for a minute; 0 disables the check.
	MinRate int64
	// AnswerTimeout is the longest time without a byte from the source; 0 uses the
	// configured value.
	AnswerTimeout time.Duration
	// Source reads the remote bytes by offset.
	Source io.ReaderAt
	// Reopen, if not nil, returns a new source after the connection of the previous
	// one broke. It saves the incomplete part. It is called only when bytes arrived
	// since the previous call.
	Reopen func(ctx context.Context) (io.ReaderAt, error)
	// From is the checkpoint to resume from; the zero value, or an inconsistent
	// checkpoint, starts at the beginning.
	From TransferCheckpoint
	// Also is a second hash algorithm to compute, AlgoMD5 for example, because the
	// bytes cannot be re-read; empty for none.
	Also string
	// Save stores a checkpoint. Its error ends the transfer. Calls are serialized.
	Save func(TransferCheckpoint) error
	// Resumed, if not nil, is called with the offset in bytes before the first read of
	// a transfer that resumes. Its error ends the transfer.
	Resumed func(offset int64) error
	// Progress, if not nil, is called frequently with the number of bytes read. Moved,
	// if not nil, is called concurrently whenever bytes are sent to the store.
	Progress func(done int64)
	Moved    func()
	// Stop, if not nil, ends the transfer with ErrStopped when closed: reading ends,
	// and parts in flight get a grace period.
	Stop <-chan struct{}
}

// DirectResult is the result of a DirectTransfer: all bytes are in parts.
type DirectResult struct {
	// Checkpoint contains every part and has been saved.
	Checkpoint TransferCheckpoint
	// SHA256 is the hash of all bytes in lower-case hex, Also the hash by
	// DirectTransfer.Also.
	SHA256 string
	Also   string
	// ResumedFrom is the offset in bytes at which the transfer resumed; 0 for a start
	// at the beginning.
	ResumedFrom int64
}

// SmallFile is a file read into memory.
type SmallFile struct {
	// Body contains all bytes; SHA256 is their hash in lower-case hex.
	Body   []byte
	SHA256 string
	// Release returns the memory to its pool. Body must not be used afterwards.
	Release func()
}

// PutPart is a request to store one part of a multipart upload. It replaces an
// earlier part of the same number.
type PutPart struct {
	Key      string
	UploadID string
	// Number counts from 1.
	Number int
	// Body contains the bytes of the part; SHA256 is their hash.
	Body   []byte
	SHA256 [32]byte
	// Moved, if not nil, is called when bytes are sent, whether or not they get stored.
	Moved func()
}

// CompleteUpload is a request to make an object of the parts of a direct transfer.
// It is idempotent: an object with the same content counts as success.
type CompleteUpload struct {
	Key      string
	UploadID string
	// Parts are all parts in order; SHA256 is the hash of all bytes in lower-case hex.
	Parts  []Part
	SHA256 string
	// Moved, if not nil, is called while an existing object is read for comparison.
	Moved func()
}
