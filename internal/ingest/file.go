package ingest

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ServerLabel returns the name of a server as people read it: with a mark if the server was
// removed.
func ServerLabel(name string, removed bool) string {
	if removed {
		return name + " (removed)"
	}
	return name
}

// File is one version of one remote file, identified by server, path, size and
// modification time. Another size or time at the same path is another File, unless
// the server's Identity states otherwise.
type File struct {
	// ID is the row's id, used only for ordering and cursors.
	ID int64
	// UUID identifies the file version outside the database.
	UUID string
	// ServerUUID and ServerName identify its server. A removed one keeps its name, which
	// another server may have, too.
	ServerUUID    string
	ServerName    string
	ServerRemoved bool
	// RemotePath is the absolute path on the server as raw bytes; it may contain
	// anything but NUL. Use DisplayPath for output.
	RemotePath string
	// Filename is the last element of RemotePath.
	Filename string
	// Size is in bytes.
	Size int64
	// ModTime is the server's modification time, in whole seconds (the resolution of
	// SFTP).
	ModTime time.Time
	// Sidecar is the file's checksum file, Marker its done-marker; zero for none.
	Sidecar, Marker Companion
	// SidecarStale reports whether the checksum file is older than this version, or
	// was seen with an earlier one. A mismatch with a stale checksum file is ignored.
	SidecarStale bool
	// SourceLeft is the reason why the source was not deleted or moved as configured, as
	// one line; empty otherwise. SourceLeftAt is the time of the last attempt.
	SourceLeft   string
	SourceLeftAt time.Time
	// WaitsFor is the condition, besides the settle time, that a settling file waits for,
	// as one line, e.g. its done-marker. See also Waits.
	WaitsFor string
	// SettlesAt is the earliest time, by the database's clock, at which a listing can
	// settle the file; zero unless it is discovered.
	SettlesAt time.Time
	// ServerPaused and ServerSuspended describe the server: while either is true, the
	// server is not listed and none of its files starts.
	ServerPaused, ServerSuspended bool
	// Status is the file's state.
	Status Status
	// Hash is the digest of the ingested bytes by HashAlgo ("sha256"), in lower-case
	// hex; empty until downloaded.
	Hash     string
	HashAlgo string
	// NotifiedHash is the hash in the notification sent before an operator
	// reprocessed the file; empty for other files. The bytes read now must match it.
	NotifiedHash string
	// ErrorStep, ErrorKind and ErrorMessage describe the last failure. They are
	// cleared when a later step succeeds.
	ErrorStep    Step
	ErrorKind    Kind
	ErrorMessage string
	// Bucket, ObjectKey and ETag locate the object; set when the upload starts.
	Bucket    string
	ObjectKey string
	ETag      string
	// Checksum is the store's SHA-256 checksum of the object, in base64; empty when
	// the store has none. For a direct transfer it is the composite checksum of the
	// parts ("...-N" for N parts). Together with Hash it then proves the object,
	// because the metadata was written before the hash was known.
	Checksum string
	// Mode is the transfer mode; empty until the transfer starts.
	Mode Mode
	// NotBefore is the earliest time, by the database's clock, for the next attempt of
	// a deferred file; zero means no wait.
	NotBefore time.Time
	// Deferrals is the number of consecutive deferrals, each after at most
	// RoundAttempts attempts.
	Deferrals int
	// StagedOn is the id of the staging volume that stores, or stored, bytes of the
	// file; empty before the first download.
	StagedOn string
	// Fence is the number of the current attempt. Every claim increments it; changes
	// with an older fence are rejected.
	Fence int64
	// Round counts the restarts of the file, by operators or deferrals. Each event is
	// recorded once a round.
	Round int
	// StableSince is the time, by the database's clock, when this size and time were
	// first seen.
	StableSince time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// CompletedAt is the time of completion; zero before.
	CompletedAt time.Time
	// SourceState describes what listings and stats showed of the file.
	SourceState
}

// Observation is the result of one listing or stat for one path.
type Observation struct {
	// Path is the absolute remote path as raw bytes.
	Path string
	// Size is in bytes; never negative.
	Size int64
	// ModTime is in whole seconds.
	ModTime time.Time
	// Sidecar is the preferred checksum file that covers the file, Marker its valid
	// done-marker; zero for none.
	Sidecar, Marker Companion
	// WaitsFor, when not empty, is the condition that the file waits for, e.g. its
	// done-marker.
	WaitsFor string
	// Rejected, when not empty, is the reason why the entry must not be opened.
	Rejected string
	// Unrecorded prevents a new row for a rejected entry: the listing has recorded
	// MaxNewRejected already.
	Unrecorded bool
	// Ignored, when not empty, is the reason why the entry is not ingested. Such entries
	// are counted and shown, but get no row. Of is the path of the file that a
	// companion without its file accompanies, where its name states it.
	Ignored Ignored
	Of      string
}

// Ignored is the reason why an entry is not ingested.
type Ignored string

// The reasons: IgnoredInProgress marks names of files in progress, IgnoredCompanion
// done-markers and checksum files without the file that they accompany.
const (
	IgnoredInProgress Ignored = "in_progress"
	IgnoredCompanion  Ignored = "companion"
)

// DisplayPath returns a raw path as one line of valid UTF-8. Control,
// bidirectional and invalid bytes are escaped.
func DisplayPath(raw string) string {
	var b strings.Builder
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRuneInString(raw[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			b.WriteString(`\x`)
			b.WriteString(strconv.FormatUint(uint64(raw[i])|0x100, 16)[1:])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
		i += n
	}
	return b.String()
}

// safeNameBytes is the maximum length of the last element of an object key. Object
// stores on file systems accept at most 255 bytes, and some append a suffix.
const safeNameBytes = 180

// SafeName returns name as used in object keys. Unicode letters, digits and
// "-_.()+@=" are kept, other characters become "_". The result is never empty, "."
// or "..", and at most 180 bytes long; a short extension is kept.
func SafeName(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune("-_.()+@=", r) {
			if r != utf8.RuneError {
				b.WriteRune(r)
				continue
			}
		}
		b.WriteByte('_')
	}
	safe := shorten(b.String())
	if strings.Trim(safe, ".") == "" {
		return "_" + safe
	}
	return safe
}

// shorten truncates the stem of a name to fit safeNameBytes.
func shorten(name string) string {
	if len(name) <= safeNameBytes {
		return name
	}
	ext := ""
	if dot := strings.LastIndexByte(name, '.'); dot > 0 && len(name)-dot <= 20 {
		ext = name[dot:]
	}
	return truncate(name[:len(name)-len(ext)], safeNameBytes-len(ext)) + ext
}

// truncate cuts s to at most limit bytes without splitting a rune.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// ObjectKey returns the file's key in the object store:
// files/YYYY/MM/<file_uuid>/<safe name>, by its modification time in UTC. It
// depends on the version alone, so that another attempt finds an existing object.
func ObjectKey(f File) string {
	return "files/" + f.ModTime.UTC().Format("2006/01") + "/" + f.UUID + "/" + SafeName(f.Filename)
}

// summaryBytes is Temporal's limit for a workflow's static summary.
const summaryBytes = 400

// Summary returns the path escaped for display and cut to the length of a Temporal
// summary.
func Summary(path string) string { return truncate(DisplayPath(path), summaryBytes) }
