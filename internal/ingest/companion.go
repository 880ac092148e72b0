package ingest

import (
	"path"
	"strings"
	"time"
)

// Companion is a file beside another that speaks of it: its done-marker or its
// checksum file. The zero value is none.
type Companion struct {
	// Path is the absolute remote path as raw bytes.
	Path string
	// Size in bytes and ModTime in whole seconds tell one version from another.
	Size    int64
	ModTime time.Time
}

// SameVersion reports whether both are the same file, unchanged.
func (c Companion) SameVersion(other Companion) bool {
	return c.Path == other.Path && c.Size == other.Size && c.ModTime.Unix() == other.ModTime.Unix()
}

// OlderThan reports whether the companion was written before a file of the time,
// so that it speaks of an earlier version. Whole seconds that are equal fit, and
// so does a server that knows no times.
func (c Companion) OlderThan(file time.Time) bool {
	return c.ModTime.Unix() > 0 && c.ModTime.Unix() < file.Unix()
}

// ChecksumName is what the name of a checksum file tells.
type ChecksumName struct {
	// Base is the name of the file that it speaks of, or that without its extension;
	// empty for one that covers its folder.
	Base string
	// Algo is the algorithm; empty when only its lines tell. AlgoUnsupported is one
	// that is not compared.
	Algo string
	// Rank orders them: the lowest is the best to have.
	Rank int
}

// Shared reports whether it covers a folder.
func (n ChecksumName) Shared() bool { return n.Base == "" }

// The algorithms of checksum files. MD5 and SHA-1 are weak: they find damage, and
// prove nothing against somebody who wants to deceive.
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

// WeakAlgo reports whether a match by the algorithm finds damage only.
func WeakAlgo(algo string) bool { return algo == AlgoMD5 || algo == AlgoSHA1 }

// checksumAlgos maps how names of checksum files spell algorithms, best first.
var checksumAlgos = []struct{ spelled, algo string }{
	{"sha256", AlgoSHA256}, {"sha512", AlgoSHA512}, {"sha384", AlgoSHA384}, {"sha224", AlgoSHA224},
	{"b2", AlgoBLAKE2b}, {"blake2b", AlgoBLAKE2b}, {"blake2", AlgoBLAKE2b}, {"blake2s", AlgoBLAKE2s}, {"sha2", AlgoSHA256},
	{"sha1", AlgoSHA1}, {"sha", AlgoSHA1}, {"md5", AlgoMD5},
	{"sha3", AlgoUnsupported}, {"b3", AlgoUnsupported}, {"blake3", AlgoUnsupported}, {"md4", AlgoUnsupported}, {"xxh64", AlgoUnsupported},
	{"sfv", AlgoUnsupported}, {"crc", AlgoUnsupported}, {"crc32", AlgoUnsupported},
}

// Ranks of checksum files: a file's own before its folder's, strong before weak.
const (
	rankOwn = 100 * iota
	rankFolder
	rankAny
	rankWeak
	rankNone
)

var checksumSuffixes, checksumLists = checksumNames()

// checksumNames returns, in lower case, the suffixes of a file's own checksum file
// and the names of those that cover a folder.
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

// ParseChecksumName tells whether a file of the name is, by its name, a checksum
// file, and of what.
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

// Alone is a companion without a file that it speaks of.
type Alone struct {
	Observation
	// For is how long it has been there unchanged.
	For time.Duration
}

// Spoken is what the ledger has of the files that a companion speaks of.
type Spoken struct {
	// Known says that there are any.
	Known bool
	// Open is how many are not done, or have their source left.
	Open int64
	// Recorded says that the companion, as it is, was there when one was taken whose
	// source has been deleted or moved. Taken is the uuid of the last of those; empty
	// when there is none.
	Recorded bool
	Taken    string
}

// AsideName is a name that a listing has set aside.
type AsideName struct {
	// Path is for people.
	Path   string
	Reason Aside
	// Size in bytes and ModTime as the server says.
	Size    int64
	ModTime time.Time
	// Since is when it was first seen so.
	Since time.Time
}
