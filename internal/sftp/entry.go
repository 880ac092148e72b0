package sftp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// maxSize is the largest plausible file size in bytes. Larger sizes are errors or
// attacks.
const maxSize = 1 << 62

// kind is the file type of a path.
type kind uint8

const (
	// kindUnreported: the server did not report a type.
	kindUnreported kind = iota
	kindRegular
	kindFolder
	kindSymlink
	kindFIFO
	kindDevice
	kindSocket
	kindUnknown
)

// The file types in the permissions of SFTP version 3, as in POSIX.
const (
	modeType    = 0o170000
	modeNone    = 0 // some servers send permissions without a type
	modeFIFO    = 0o010000
	modeChar    = 0o020000
	modeFolder  = 0o040000
	modeBlock   = 0o060000
	modeRegular = 0o100000
	modeSymlink = 0o120000
	modeSocket  = 0o140000
)

// kindOf returns the type from the attributes of an entry, else from its longname, a
// line of `ls -l`. It is kindUnreported if neither has one, or if they disagree
// whether the entry is a folder.
func kindOf(a attrs, longName []byte) kind {
	byMode, byLongName := a.kind(), kindOfLongName(longName)
	switch {
	case byMode == kindUnreported:
		return byLongName
	case byLongName != kindUnreported && (byMode == kindFolder) != (byLongName == kindFolder) && byLongName != kindSymlink:
		return kindUnreported
	default:
		return byMode
	}
}

// kind returns the type from the permissions.
func (a attrs) kind() kind {
	if a.flags&attrMode == 0 {
		return kindUnreported
	}
	switch a.Mode & modeType {
	case modeNone:
		return kindUnreported
	case modeRegular:
		return kindRegular
	case modeFolder:
		return kindFolder
	case modeSymlink:
		return kindSymlink
	case modeFIFO:
		return kindFIFO
	case modeChar, modeBlock:
		return kindDevice
	case modeSocket:
		return kindSocket
	default:
		return kindUnknown
	}
}

// longNameModeBytes is the length of type and permissions in a line of `ls -l`.
const longNameModeBytes = 10

// kindOfLongName returns the type from a line of `ls -l`.
func kindOfLongName(longName []byte) kind {
	if len(longName) < longNameModeBytes {
		return kindUnreported
	}
	for _, c := range longName[1:longNameModeBytes] {
		if !bytes.ContainsRune([]byte("rwxsStTlL-"), rune(c)) {
			return kindUnreported
		}
	}
	switch longName[0] {
	case '-':
		return kindRegular
	case 'd':
		return kindFolder
	case 'l':
		return kindSymlink
	case 'p':
		return kindFIFO
	case 'b', 'c':
		return kindDevice
	case 's':
		return kindSocket
	default:
		return kindUnreported
	}
}

// reason returns why a path of the kind is not opened; empty for regular files.
func (k kind) reason() string {
	switch k {
	case kindRegular:
		return ""
	case kindFolder:
		return "is a folder"
	case kindSymlink:
		return "is a symbolic link, which is not followed"
	case kindFIFO:
		return "is a FIFO"
	case kindDevice:
		return "is a device"
	case kindSocket:
		return "is a socket"
	case kindUnreported:
		return "may be a file or a folder: the server does not report the type"
	default:
		return "is of an unknown type"
	}
}

// rejectReason returns why a path must not be opened. It is empty for regular files of a
// known and plausible size, and for folders, which are never opened as files.
func rejectReason(k kind, a attrs) string {
	switch {
	case k == kindFolder:
		return ""
	case k != kindRegular:
		return k.reason()
	case !a.hasSize():
		return "has no size"
	case a.Size > maxSize:
		return fmt.Sprintf("has an impossible size of %d bytes", a.Size)
	default:
		return ""
	}
}

// observe returns the observation of a path with these attributes.
func observe(path string, a attrs) ingest.Observation {
	seen := ingest.Observation{Path: path, ModTime: time.Unix(int64(a.Mtime), 0).UTC()}
	if a.Size <= maxSize {
		seen.Size = int64(a.Size)
	}
	return seen
}

const (
	// maxNameBytes exceeds the longest name in file systems and object stores.
	maxNameBytes = 1024
	// maxPathBytes is PATH_MAX of POSIX systems.
	maxPathBytes = 4096
	// keptBytes is the length of the kept prefix of longer names.
	keptBytes = 200
)

// shortName returns a copy of the name. If the copy is shortened, fullLen is the
// length of the name in bytes, otherwise 0.
func shortName(name []byte) (short string, fullLen int) {
	if len(name) <= maxNameBytes {
		return string(name), 0
	}
	return shorten(name), len(name)
}

// shorten returns a prefix and a digest of the name, so that different long names
// stay different.
func shorten(long []byte) string {
	digest := sha256.Sum256(long)
	return string(long[:keptBytes]) + "...sha256:" + hex.EncodeToString(digest[:16])
}

// unsafeName returns why a name cannot be one element of a path; empty if it can.
func unsafeName(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Sprintf("has the name %q, which is not a file name", name)
	case strings.Contains(name, "/"):
		return "has a name with '/', which could lead out of its folder"
	case strings.ContainsRune(name, 0):
		return "has a name with a NUL byte"
	case len(name) > maxNameBytes:
		return fmt.Sprintf("has a name of %d bytes", len(name))
	default:
		return ""
	}
}

// unsafeReason returns why the entry is rejected regardless of its type; empty if safe.
func (e entry) unsafeReason() string {
	switch {
	case e.fullLen > 0:
		return fmt.Sprintf("has a name of %d bytes, shortened here", e.fullLen)
	case e.fullPathLen > 0:
		return fmt.Sprintf("has a path of %d bytes, shortened here", e.fullPathLen)
	default:
		return unsafeName(e.name)
	}
}
