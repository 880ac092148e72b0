package ingest

import (
	"crypto/sha256"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MoveTarget identifies a name on a partner's server to which a file is moved. It
// is a digest of the server's address and the path.
type MoveTarget [sha256.Size]byte

// MoveTarget returns the key of a name in a folder; the folder's path must not
// contain symbolic links. Servers with the same address and user share keys. Case
// is ignored, because many servers ignore it.
func (s Server) MoveTarget(folder, name string) MoveTarget {
	return sha256.Sum256([]byte(strings.Join([]string{
		strings.ToLower(s.Host), strconv.Itoa(s.Port), s.Username, strings.ToLower(path.Join(folder, name)),
	}, "\x00")))
}

const (
	// maxName is the maximum length of a file name on common file systems, in bytes.
	maxName = 255
	// nameSpare is reserved for the suffixes of companions when a name is shortened.
	nameSpare = 16
)

// UniqueName returns the name prefixed with the file's uuid. A result that is too
// long for a file system is shortened before its extension.
func UniqueName(uuid, name string) string {
	unique := uuid + "-" + name
	if len(unique) <= maxName {
		return unique
	}
	ending := path.Ext(name)
	if len(ending) > nameSpare {
		ending = ""
	}
	cut := maxName - nameSpare - len(ending)
	for cut > len(uuid) && !utf8.RuneStart(unique[cut]) {
		cut--
	}
	return unique[:cut] + ending
}

// NameBeside returns the name of a companion of a file that was renamed by
// UniqueName. It is the new name of the file with the companion's suffix, if the
// companion's name begins with the file's.
func NameBeside(uuid, file, companion string) string {
	if ending, ok := strings.CutPrefix(companion, file); ok {
		if name := UniqueName(uuid, file) + ending; len(name) <= maxName {
			return name
		}
	}
	return UniqueName(uuid, companion)
}
