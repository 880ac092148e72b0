package ingest

import (
	"crypto/sha256"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MoveTarget stands for a name on a partner's server to which a file is moved.
type MoveTarget [sha256.Size]byte

// MoveTarget returns the key of a name in a folder of the server, which is given
// without links. Servers of one place share names, whatever they are called here, and
// names that differ by case alone are one: on many servers they are.
func (s Server) MoveTarget(folder, name string) MoveTarget {
	return sha256.Sum256([]byte(strings.Join([]string{
		strings.ToLower(s.Host), strconv.Itoa(s.Port), s.Username, strings.ToLower(path.Join(folder, name)),
	}, "\x00")))
}

const (
	// maxName is the longest name of a file that common file systems take, in bytes.
	maxName = 255
	// nameSpare is left for the endings of companions when a name is shortened.
	nameSpare = 16
)

// UniqueName returns the name with the file's uuid in front. One that would be too
// long for a file system loses bytes before its ending.
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

// NameBeside returns what a companion is called beside a file that was given a
// UniqueName: as the file is, with its own ending, where its name begins with the file's.
func NameBeside(uuid, file, companion string) string {
	if ending, ok := strings.CutPrefix(companion, file); ok {
		if name := UniqueName(uuid, file) + ending; len(name) <= maxName {
			return name
		}
	}
	return UniqueName(uuid, companion)
}
