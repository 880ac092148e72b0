package ingest

import (
	"path"
	"strings"
	"time"
)

// Companion is a file that accompanies another one: its done-marker or its
// checksum file. The zero value means none.
type Companion struct {
	// Path is the absolute remote path as raw bytes.
	Path string
	// Size in bytes and ModTime in whole seconds identify the version.
	Size    int64
	ModTime time.Time
}

// SameVersion reports whether both are the same unchanged file.
func (c Companion) SameVersion(other Companion) bool {
	return c.Path == other.Path && c.Size == other.Size && c.ModTime.Unix() == other.ModTime.Unix()
}

// OlderThan reports whether the companion was written before the file's time, and
// so belongs to an earlier version. It is false for equal seconds and for a server
// without modification times.
func (c Companion) OlderThan(file time.Time) bool {
	return c.ModTime.Unix() > 0 && c.ModTime.Unix() < file.Unix()
}

// ChecksumName describes a checksum file by its name.
type ChecksumName struct {
	// Base is the name of the file that it covers, with or without the extension;
	// empty for a checksum file that covers its folder.
	Base string
	// Algo is the algorithm, one of the Algo constants; empty when only the content
	// names it.
	Algo string
	// Rank orders checksum files of the same file: the lowest is preferred.
	Rank int
}

// Shared reports whether the checksum file covers a folder.
func (n ChecksumName) Shared() bool { return n.Base == "" }

// The algorithms of checksum files. MD5 and SHA-1 are weak: they detect damage,
// but not deliberate changes. AlgoUnsupported stands for algorithms that are not
// computed.
const (
	AlgoSHA224      = "sha224"
	AlgoSHA256      = hashAlgo
	AlgoSHA384      = "sha384"
	AlgoSHA512      = "sha512"
	AlgoBLAKE2b     = "blake2b"
	AlgoBLAKE2s     = "blake2s"
	AlgoSHA1        = "sha1"
	AlgoMD5         = "md5"
	AlgoUnsupported = "unsupported"
)

// WeakAlgo reports whether the algorithm detects damage only.
func WeakAlgo(algo string) bool { return algo == AlgoMD5 || algo == AlgoSHA1 }

// checksumAlgos maps spellings in names of checksum files to algorithms, best first. The
// common ones are those of CommonChecksumFiles.
var checksumAlgos = []struct {
	spelled, algo string
	common        bool
}{
	{"sha256", AlgoSHA256, true}, {"sha512", AlgoSHA512, true}, {"sha384", AlgoSHA384, false}, {"sha224", AlgoSHA224, false},
	{"b2", AlgoBLAKE2b, false}, {"blake2b", AlgoBLAKE2b, false}, {"blake2", AlgoBLAKE2b, false}, {"blake2s", AlgoBLAKE2s, false},
	{"sha2", AlgoSHA256, false}, {"sha1", AlgoSHA1, false}, {"sha", AlgoSHA1, false}, {"md5", AlgoMD5, true},
	{"sha3", AlgoUnsupported, false}, {"b3", AlgoUnsupported, false}, {"blake3", AlgoUnsupported, false}, {"md4", AlgoUnsupported, false},
	{"xxh64", AlgoUnsupported, false}, {"sfv", AlgoUnsupported, false}, {"crc", AlgoUnsupported, false}, {"crc32", AlgoUnsupported, false},
}

// commonChecksumList is the most common name of a checksum file that covers a folder.
const commonChecksumList = "SHA256SUMS"

// Ranks of checksum files: the file's own before its folder's, strong before weak.
const (
	rankOwn = 100 * iota
	rankFolder
	rankAny
	rankWeak
	rankNone
)

var checksumSuffixes, checksumLists = checksumNames()

// checksumNames returns, in lower case, the suffixes of a file's own checksum file
// and the names of checksum files that cover a folder.
func checksumNames() (suffixes, lists map[string]ChecksumName) {
	suffixes, lists = map[string]ChecksumName{}, map[string]ChecksumName{}
	for i, a := range checksumAlgos {
		own := ChecksumName{Algo: a.algo, Rank: rankOwn + i}
		folder := ChecksumName{Algo: a.algo, Rank: rankFolder + i}
		switch {
		case WeakAlgo(a.algo):
			own.Rank, folder.Rank = rankWeak+2*i, rankWeak+2*i+1
		case a.algo == AlgoUnsupported:
			own.Rank, folder.Rank = rankNone+2*i, rankNone+2*i+1
		}
		for _, end := range []string{"", "sum", "sums"} {
			suffixes["."+a.spelled+end] = own
			if end != "" {
				lists[a.spelled+end], lists[a.spelled+end+".txt"] = folder, folder
			}
		}
	}
	for i, name := range []string{"checksums", "checksums.txt", "checksum", "checksum.txt", "digests", "digests.txt"} {
		lists[name] = ChecksumName{Rank: rankAny + i}
	}
	return suffixes, lists
}

// ParseChecksumName parses the name of a checksum file, and reports whether it is one.
func ParseChecksumName(name string) (ChecksumName, bool) {
	if list, ok := checksumLists[strings.ToLower(name)]; ok {
		return list, true
	}
	// Lower case can be longer than the name: it replaces bytes that are not UTF-8.
	suffix := path.Ext(name)
	own, ok := checksumSuffixes[strings.ToLower(suffix)]
	own.Base = strings.TrimSuffix(name, suffix)
	return own, ok && own.Base != ""
}

// CommonChecksumFiles returns the paths of the most common checksum files of the file,
// best first. A check of a single file tries only these, because each path costs a
// request. A listing shows all names, see ParseChecksumName.
func CommonChecksumFiles(file string) (paths []string) {
	for _, a := range checksumAlgos {
		if a.common {
			paths = append(paths, file+"."+a.spelled)
		}
	}
	return append(paths, path.Dir(file)+"/"+commonChecksumList)
}

// OrphanCompanion is a companion without the file that it accompanies.
type OrphanCompanion struct {
	Observation
	// For is the time since it was first seen unchanged.
	For time.Duration
}

// CompanionUse summarizes the ledger's files that a companion accompanies.
type CompanionUse struct {
	// Known reports whether there are any.
	Known bool
	// Open counts files that are not terminal, or whose source is still on the server.
	Open int64
	// Recorded reports whether the companion, in its current version, accompanied a
	// completed file whose source has been deleted or moved. Taken is the uuid of the
	// latest such file; empty when there is none.
	Recorded bool
	Taken    string
}
