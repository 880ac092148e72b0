package sftp

import (
	"fmt"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"stevedore/internal/ingest"
)

// maxSize is more than any file has; servers that claim more are wrong or
// want something allocated.
const maxSize = 1 << 62

// kind is what a path is.
type kind int

const (
	kindRegular kind = iota
	kindFolder
	kindSymlink
	kindFIFO
	kindDevice
	kindSocket
	kindUnknown
)

// The file types in the permissions of SFTP version 3 are those of POSIX.
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

func kindOf(attrs *sftp.FileStat) kind {
	switch attrs.Mode & modeType {
	case modeRegular, modeNone:
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

// reason says why a path of the kind is not opened; empty for regular files.
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
	default:
		return "is of an unknown type"
	}
}

// reject says why a path must not be opened; empty for regular files of
// possible size and for folders, which are not opened as files anyway.
func reject(k kind, attrs *sftp.FileStat) string {
	switch {
	case k == kindFolder:
		return ""
	case k != kindRegular:
		return k.reason()
	case attrs.Size > maxSize:
		return fmt.Sprintf("has an impossible size of %d bytes", attrs.Size)
	default:
		return ""
	}
}

// observe is the observation of a path with these attributes.
func observe(path string, attrs *sftp.FileStat) ingest.Observation {
	seen := ingest.Observation{Path: path, ModTime: time.Unix(int64(attrs.Mtime), 0).UTC()}
	if attrs.Size <= maxSize {
		seen.Size = int64(attrs.Size)
	}
	return seen
}

// maxNameBytes is longer than any file system's names; a longer one is made up.
const maxNameBytes = 4096

// unsafeName says why a name cannot be one element of a path; empty if it can.
func unsafeName(name string) string {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Sprintf("has the name %q, which is not a file's", name)
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
