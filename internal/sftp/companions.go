package sftp

import (
	"path"
	"strings"

	"stevedore/internal/ingest"
)

// companions pairs the companions of one folder (checksum files, done-markers) with the
// files that they belong to.
type companions struct {
	server ingest.Server
	// prefix is the folder's path with a trailing slash.
	prefix string
	// names are all entries of the folder; usable has the indexes of its regular files
	// by name, without excluded companions.
	names  []rawName
	usable map[string]int
	// ownChecksum has the best checksum file of each file with its own one.
	ownChecksum map[string]string
	// paired are the checksum files that belong to a file in the folder.
	paired map[string]bool
	// hasData reports whether the folder has a file that folder-wide companions can
	// cover.
	hasData bool
	// folderChecksum is the best folder-wide checksum file, folderRank its rank.
	folderChecksum string
	folderRank     int
}

// newCompanions pairs the companions among the usable files. Files for which inProgress
// is true do not count as data.
func newCompanions(server ingest.Server, folder string, names []rawName, usable map[string]int, inProgress func(name string) bool) companions {
	in := strings.TrimSuffix(folder, "/") + "/"
	c := companions{server: server, prefix: in, names: names, usable: usable, ownChecksum: map[string]string{}, paired: map[string]bool{}}
	var lists, loose []string
	for name := range usable {
		sums, ok := ingest.ParseChecksumName(name)
		switch {
		case !ok:
			c.hasData = c.hasData || !server.IsMarker(name) && !inProgress(name)
		case sums.Shared():
			lists = append(lists, name)
		case c.has(sums.Base):
			c.pair(name, sums.Base)
		default:
			loose = append(loose, name)
		}
	}
	c.pairInexact(loose)
	for _, name := range lists {
		if !c.hasData {
			continue // it covers no file
		}
		c.paired[name] = true
		if sums, _ := ingest.ParseChecksumName(name); c.folderChecksum == "" || ranksBefore(sums.Rank, name, c.folderRank, c.folderChecksum) {
			c.folderChecksum, c.folderRank = name, sums.Rank
		}
	}
	return c
}

func (c *companions) has(name string) bool {
	_, ok := c.usable[name]
	return ok
}

// pair pairs the checksum file with the file.
func (c *companions) pair(name, file string) {
	c.paired[name] = true
	sums, _ := ingest.ParseChecksumName(name)
	best, some := c.ownChecksum[file]
	if rank, _ := ingest.ParseChecksumName(best); !some || ranksBefore(sums.Rank, name, rank.Rank, best) {
		c.ownChecksum[file] = name
	}
}

// ranksBefore orders checksum files by rank, then by name, so that the order is stable.
func ranksBefore(rank int, name string, otherRank int, other string) bool {
	return rank < otherRank || rank == otherRank && name < other
}

// pairInexact pairs checksum files whose name differs in case or omits the extension
// ("a.sha256" for "a.csv"), if exactly one file matches.
func (c *companions) pairInexact(names []string) {
	if len(names) == 0 {
		return
	}
	folded, stems := map[string][]string{}, map[string][]string{}
	for name := range c.usable {
		if _, sums := ingest.ParseChecksumName(name); sums || c.server.IsMarker(name) {
			continue
		}
		lower := strings.ToLower(name)
		folded[lower] = append(folded[lower], name)
		if ext := path.Ext(name); ext != "" && ext != name {
			stems[name[:len(name)-len(ext)]] = append(stems[name[:len(name)-len(ext)]], name)
		}
	}
	for _, name := range names {
		sums, _ := ingest.ParseChecksumName(name)
		for _, meant := range [][]string{folded[strings.ToLower(sums.Base)], stems[sums.Base]} {
			if len(meant) == 1 {
				c.pair(name, meant[0])
				break
			}
		}
	}
}

// checksumFile returns the best checksum file for the file, if any.
func (c *companions) checksumFile(name string) ingest.Companion {
	best, ok := c.ownChecksum[name]
	rank, _ := ingest.ParseChecksumName(best)
	if c.folderChecksum != "" && (!ok || ranksBefore(c.folderRank, c.folderChecksum, rank.Rank, best)) {
		best, ok = c.folderChecksum, true
	}
	if !ok || best == name {
		return ingest.Companion{}
	}
	return c.companion(c.names[c.usable[best]])
}

func (c *companions) companion(raw rawName) ingest.Companion {
	seen := observe(c.prefix+raw.name, raw.attrs)
	return ingest.Companion{Path: seen.Path, Size: seen.Size, ModTime: seen.ModTime}
}

// marker returns the done-marker of the file at the path, if it exists.
func (c *companions) marker(file string) ingest.Companion {
	wanted := c.server.MarkerOf(file)
	index, ok := c.usable[wanted[strings.LastIndexByte(wanted, '/')+1:]]
	if wanted == "" || !ok {
		return ingest.Companion{}
	}
	return c.companion(c.names[index])
}
