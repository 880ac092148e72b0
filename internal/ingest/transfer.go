package ingest

import (
	"io"
	"time"
)

// Fetch asks for the bytes of one file version to be copied into staging,
// going on from the last checkpoint if there is one.
type Fetch struct {
	FileUUID string
	// Size and ModTime (Unix seconds) name the version; a checkpoint of another
	// version is thrown away.
	Size    int64
	ModTime int64
	// Shown is the time, in Unix seconds, that the open file shows, where another time
	// alone is no new version; else 0. A checkpoint under another one is thrown away:
	// it may be of another file of the same size.
	Shown int64
	// Origin is kept with the bytes.
	Origin Origin
	// MinRate in bytes per second ends a fetch that stays below it for a minute, with
	// KindSlow; 0 is any.
	MinRate int64
	// Silence is how long the source may bring nothing; 0 is as staging is configured.
	Silence time.Duration
	// Source gives the remote bytes by offset.
	Source io.ReaderAt
	// Resumed, may be nil, is called before anything is read when Fetch goes on
	// from a checkpoint, with its offset in bytes; its error ends Fetch.
	Resumed func(offset int64) error
	// Progress, may be nil, is called with the bytes done so far, often.
	Progress func(done int64)
	// Stop, may be nil: when closed, Fetch writes a checkpoint and returns ErrStopped.
	Stop <-chan struct{}
}

// Origin says whose bytes are staged. A ledger that was restored from an older backup
// does not know any more.
type Origin struct {
	ServerUUID string `json:"server_uuid"`
	// Path and Sidecar are raw remote paths.
	Path    []byte `json:"path"`
	Sidecar []byte `json:"sidecar,omitempty"`
}

// Forgotten is a file that is staged whole, and that the ledger does not know.
type Forgotten struct {
	FileUUID string
	Origin
	ModTime time.Time
	Staged  Staged
	// Host is the id of the staging volume.
	Host string
}

// Staged is a file whose bytes are all in staging and synced to disk.
type Staged struct {
	// Path is the local path, for the ledger's temp_path.
	Path string
	// Size in bytes; SHA256 in lower-case hex, computed while the bytes came in.
	Size   int64
	SHA256 string
	// ResumedFrom is the offset of the checkpoint this call went on from; 0
	// means from the start. Equal to Size when the bytes were all there already.
	ResumedFrom int64
	// Origin and ModTime (Unix seconds) are those of the Fetch that brought the bytes.
	Origin  Origin
	ModTime int64
}

// Put asks for a staged file to be written to the object store, once.
type Put struct {
	Key string
	// Path is the local file; Size and SHA256 (lower-case hex) must match it.
	Path   string
	Size   int64
	SHA256 string
	// Metadata is stored with the object, beside "sha256"; values may be any UTF-8.
	Metadata map[string]string
	// Progress, may be nil, is called with the bytes safely stored so far.
	Progress func(done int64)
	// Moved, may be nil, is called concurrently whenever bytes went out, safe or
	// not; Stored, may be nil, when some became safe by this call.
	Moved  func()
	Stored func()
	// Stop, may be nil: when closed, no part is begun any more, those under way
	// get some time to become safe, and Put returns ErrStopped.
	Stop <-chan struct{}
}

// PutBytes asks for a small file in memory to be stored by one request, once.
type PutBytes struct {
	Key string
	// Body holds all bytes; SHA256 (lower-case hex) is theirs.
	Body   []byte
	SHA256 string
	// Metadata is stored with the object, beside "sha256"; values may be any UTF-8.
	Metadata map[string]string
	// Moved, may be nil, is called when bytes went out.
	Moved func()
}

// Part is one stored part of a multipart upload.
type Part struct {
	// Number counts from 1; Size is in bytes.
	Number int   `json:"number"`
	Size   int64 `json:"size"`
	// ETag and SHA256 (base64) are as the store returned them.
	ETag   string `json:"etag"`
	SHA256 string `json:"sha256"`
}

// TransferCheckpoint is how far a direct transfer has come. It is in the ledger,
// so that a worker on any host resumes from it. The zero value is the beginning.
type TransferCheckpoint struct {
	// UploadID names the multipart upload in the store.
	UploadID string
	// PartSize in bytes is that of every part but the last.
	PartSize int64
	// Parts are stored, without a gap from the first.
	Parts []Part
	// Offset is the number of bytes in Parts, and HashState the marshaled state of
	// the SHA-256 over them.
	Offset    int64
	HashState []byte
	// Shown is the time, in Unix seconds, that the open file showed when the transfer
	// began; 0 when it does not matter or is unknown, see Fetch.Shown.
	Shown int64
}

// Object is an object as the store has it.
type Object struct {
	Bucket string
	Key    string
	Size   int64
	// SHA256 is what its metadata holds, in lower-case hex; empty for objects that
	// were made by a direct transfer.
	SHA256 string
	ETag   string
	// Checksum is the store's own SHA-256 checksum in base64, "...-N" when it is
	// made of those of N parts; empty when the store keeps none.
	Checksum string
}

// Announcement tells consumers that a file is in the store.
type Announcement struct {
	File       File
	Object     Object
	ServerName string
}

// Receipt proves that the broker has taken an announcement.
type Receipt struct {
	// Queue is where it went: the routing key, or exchange/key.
	Queue string
	// MessageID is the same however often a file is announced.
	MessageID string
}
