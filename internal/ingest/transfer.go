package ingest

import (
	"io"
	"time"
)

// Fetch is a request to copy the bytes of one file version into staging. It
// resumes from the last checkpoint.
type Fetch struct {
	FileUUID string
	// Size in bytes and ModTime in Unix seconds identify the version. A checkpoint of
	// another version is discarded.
	Size    int64
	ModTime int64
	// Shown is the modification time of the open file, in Unix seconds, for versions
	// that are identified without their time, or OpenTimeUnknown; else 0. A checkpoint is
	// discarded unless SameOpenTime: it may be from another file of the same size.
	Shown int64
	// Origin is stored with the bytes.
	Origin Origin
	// MinRate, in bytes per second, ends the fetch with KindSlow when the source stays
	// below it for a minute; 0 disables the check.
	MinRate int64
	// AnswerTimeout is the longest time without a byte from the source; 0 uses the
	// configured value.
	AnswerTimeout time.Duration
	// Source reads the remote bytes by offset.
	Source io.ReaderAt
	// Resumed, if not nil, is called with the offset in bytes before the first read of
	// a fetch that resumes. Its error ends the fetch.
	Resumed func(offset int64) error
	// Progress, if not nil, is called frequently with the number of bytes done.
	Progress func(done int64)
	// Stop, if not nil, ends the fetch with ErrStopped after a checkpoint when closed.
	Stop <-chan struct{}
}

// OpenTimeUnknown is the time of an open file for which the server shows none.
const OpenTimeUnknown = -1

// SameOpenTime reports whether a transfer of an open file with time a may go on from a
// checkpoint with time b. Without a time nothing shows that it is the same file.
func SameOpenTime(a, b int64) bool { return a == b && a != OpenTimeUnknown }

// Origin is the source of staged bytes. It allows recovery when the ledger was
// restored from an older backup.
type Origin struct {
	ServerUUID string `json:"server_uuid"`
	// Path and Sidecar are raw remote paths; Sidecar is empty for none.
	Path    []byte `json:"path"`
	Sidecar []byte `json:"sidecar,omitempty"`
}

// Forgotten is a completely staged file that is missing in the ledger.
type Forgotten struct {
	FileUUID string
	Origin
	ModTime time.Time
	Staged  Staged
	// Host is the id of its staging volume.
	Host string
}

// Staged is a file whose bytes are all staged and synced to disk.
type Staged struct {
	// Path is the local path, recorded as temp_path.
	Path string
	// Size is in bytes; SHA256 is the hash in lower-case hex, computed during the copy.
	Size   int64
	SHA256 string
	// ResumedFrom is the offset in bytes at which this call resumed: 0 for a start at
	// the beginning, Size when all bytes were staged already.
	ResumedFrom int64
	// Origin and ModTime (Unix seconds) are from the Fetch that staged the bytes.
	Origin  Origin
	ModTime int64
}

// Put is a request to store a staged file as an object. It is idempotent.
type Put struct {
	Key string
	// Path is the local file. Size and SHA256 (lower-case hex) must match it.
	Path   string
	Size   int64
	SHA256 string
	// Metadata is stored with the object in addition to "sha256"; values may be any
	// UTF-8.
	Metadata map[string]string
	// Progress, if not nil, is called with the number of bytes stored.
	Progress func(done int64)
	// Moved, if not nil, is called concurrently whenever bytes are sent, whether or
	// not they get stored. Stored, if not nil, is called when this call has stored
	// some.
	Moved  func()
	Stored func()
	// Stop, if not nil, ends Put with ErrStopped when closed: no further part is
	// started, and parts in flight get a grace period.
	Stop <-chan struct{}
}

// PutBytes is a request to store a small file by one request. It is idempotent.
type PutBytes struct {
	Key string
	// Body contains all bytes; SHA256 is their hash in lower-case hex.
	Body   []byte
	SHA256 string
	// Metadata is stored with the object in addition to "sha256"; values may be any
	// UTF-8.
	Metadata map[string]string
	// Moved, if not nil, is called when bytes are sent.
	Moved func()
}

// Part is a stored part of a multipart upload.
type Part struct {
	// Number starts at 1; Size is in bytes.
	Number int   `json:"number"`
	Size   int64 `json:"size"`
	// ETag and SHA256 (base64) are from the store's response.
	ETag   string `json:"etag"`
	SHA256 string `json:"sha256"`
}

// TransferCheckpoint is the progress of a direct transfer, stored in the ledger so
// that any worker can resume it. The zero value is the beginning.
type TransferCheckpoint struct {
	// UploadID identifies the multipart upload in the store.
	UploadID string
	// PartSize is the size in bytes of every part but the last.
	PartSize int64
	// Parts are the stored parts, contiguous from the first.
	Parts []Part
	// Offset is the number of bytes in Parts; HashState is the marshaled SHA-256 state
	// after them.
	Offset    int64
	HashState []byte
	// Shown is the modification time of the open file when the transfer started, in
	// Unix seconds, see Fetch.Shown.
	Shown int64
}

// Object is an object in the store.
type Object struct {
	Bucket string
	Key    string
	Size   int64
	// SHA256 is from its metadata, in lower-case hex; empty for objects of direct
	// transfers.
	SHA256 string
	ETag   string
	// Checksum is the store's SHA-256 checksum in base64, with the suffix "-N" when it
	// is a composite of N parts; empty when the store has none.
	Checksum string
}

// Notification is the content of the notification that a file is in the store.
type Notification struct {
	File       File
	Object     Object
	ServerName string
}

// Receipt is the broker's confirmation of a notification.
type Receipt struct {
	// Queue is the destination: the routing key, or exchange/key.
	Queue string
	// MessageID is the same for every notification of the file.
	MessageID string
}
