package ingest

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// File is one version of one remote file: a server, a path, a size and a
// modification time. Another size or time under the same path is another File.
type File struct {
	// ID is the database's number, used for ordering and cursors only.
	ID int64
	// UUID names the file version everywhere outside the database.
	UUID string
	// ServerUUID and ServerName name the server it was seen on.
	ServerUUID string
	ServerName string
	// RemotePath is the absolute path on the server, byte for byte as the
	// server gave it; it may hold anything but NUL. Use DisplayPath for people.
	RemotePath string
	// Filename is the last element of RemotePath.
	Filename string
	// Size is in bytes.
	Size int64
	// ModTime is the server's modification time; SFTP knows whole seconds.
	ModTime time.Time
	// Sidecar is the checksum file that the server offers, Marker the done-marker that
	// was there for it; either may be none.
	Sidecar, Marker Companion
	// SidecarStale says that the checksum file, as it was seen, is older than this
	// version or was there with an earlier one: it counts only if it fits.
	SidecarStale bool
	// SourceLeft says why the source was not deleted or moved as its server's setting
	// asks, as one line; SourceLeftAt is when that was last tried.
	SourceLeft   string
	SourceLeftAt time.Time
	// WaitsFor is what a settling file waits for besides time, as one line.
	WaitsFor string
	// Status is where the file stands.
	Status Status
	// Hash is the lower-case hex digest by HashAlgo ("sha256") of the bytes
	// taken; empty until downloaded.
	Hash     string
	HashAlgo string
	// AnnouncedHash is the hash that was announced before an operator had the file
	// ingested again; empty for most files. What is read now must have it.
	AnnouncedHash string
	// ErrorStep, ErrorKind and ErrorMessage hold the last failure while it
	// matters: cleared when a later step succeeds.
	ErrorStep    Step
	ErrorKind    Kind
	ErrorMessage string
	// Bucket, ObjectKey and ETag say where the object is; set from upload on.
	Bucket    string
	ObjectKey string
	ETag      string
	// Checksum is the store's own SHA-256 checksum of the object, in base64; empty
	// when the store keeps none. For a file moved directly it is that of its parts
	// ("...-N" for N parts) and with Hash the proof of the object, because its
	// metadata was written before the hash was known.
	Checksum string
	// Mode is how the bytes were or are being moved; empty until that begins.
	Mode Mode
	// NotBefore is when a ready file whose last tries failed may be taken up
	// again, by the database's clock; zero means at once.
	NotBefore time.Time
	// Deferrals is how often in a row it was put off so, each time after at most
	// RoundAttempts tries.
	Deferrals int
	// StagedOn is the id of the worker's staging volume that has, or had, bytes
	// of the file; empty while nobody has begun.
	StagedOn string
	// Fence is the number of the attempt that owns the file. Every claim raises
	// it, and a writer with an older number is refused.
	Fence int64
	// Round counts how often an operator sent the file round again; facts of
	// one round are recorded once.
	Round int
	// StableSince is when this size and time were first seen, by the database's clock.
	StableSince time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// CompletedAt is zero until the file is completed.
	CompletedAt time.Time
	// Sight is what looks at the server told.
	Sight
}

// Observation is what one listing or stat said about one path.
type Observation struct {
	// Path is the absolute remote path as raw bytes.
	Path string
	// Size is in bytes; never negative.
	Size int64
	// ModTime in whole seconds.
	ModTime time.Time
	// Sidecar is the best checksum file that covers this one, Marker the done-marker
	// that counts for it; either may be none.
	Sidecar, Marker Companion
	// WaitsFor, when not empty, says what is missing before the file may be
	// taken, e.g. its done-marker.
	WaitsFor string
	// Rejected, when not empty, says why this entry must not be opened.
	Rejected string
	// Unrecorded keeps a rejected entry from getting a row, if it has none: there
	// were too many in one listing.
	Unrecorded bool
	// Aside, when not empty, says that the entry is no delivery: it is counted and
	// shown, and gets no row. Of a companion without its file, Of is that file's path
	// where the name tells it.
	Aside Aside
	Of    string
}

// Aside is why an entry is no delivery.
type Aside string

// The entries that are no deliveries: names of files that are still being written,
// and done-markers and checksum files without a file that they speak of.
const (
	AsideInProgress Aside = "in_progress"
	AsideCompanion  Aside = "companion"
)

// DisplayPath returns a remote path as one harmless line of valid UTF-8:
// control, bidirectional and invalid bytes are shown escaped.
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

// safeNameBytes bounds the last element of an object key: object stores on
// file systems take at most 255 bytes, and some add a suffix of their own.
const safeNameBytes = 180

// SafeName returns name as it appears in object keys: Unicode letters, digits
// and "-_.()+@=" stay, everything else becomes "_"; never empty, "." or "..";
// at most 180 bytes, with the extension kept where it is short.
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

// shorten cuts the stem of a name so that it fits safeNameBytes.
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

// ObjectKey returns the key the file has in the object store:
// files/YYYY/MM/<file_uuid>/<safe name>. Year and month are those of the
// file's modification time in UTC: like the uuid they follow from the version
// alone, so that whoever ingests it again finds the object that is there.
func ObjectKey(f File) string {
	return "files/" + f.ModTime.UTC().Format("2006/01") + "/" + f.UUID + "/" + SafeName(f.Filename)
}
