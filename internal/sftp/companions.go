package sftp

import (
	"path"
	"strings"

	"stevedore/internal/ingest"
)

// companions knows which files of one folder speak of which others.
type companions struct {
	server ingest.Server
	// in is the folder's path with a slash at its end.
	prefix string
	// names are all entries of the folder; usable has the place of its regular files
	// by name, excluded companions left out.
	names  []rawName
	usable map[string]int
	// own has the best checksum file of each file that has one of its own.
	ownChecksum map[string]string
	// speaks are the checksum files that speak of a file here.
	paired map[string]bool
	// plain says that there is a file that folder-wide companions speak of.
	hasData bool
	// list is the best checksum file of the folder, listRank its rank.
	folderChecksum string
	folderRank     int
}

// newCompanions pairs the companions among the files with what they speak of.
// inProgress says which of the files do not count.
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
			continue // it covers nothing here
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

// claim makes the checksum file speak of the file of the name.
func (c *companions) pair(name, file string) {
	c.paired[name] = true
	sums, _ := ingest.ParseChecksumName(name)
	best, some := c.ownChecksum[file]
	if rank, _ := ingest.ParseChecksumName(best); !some || ranksBefore(sums.Rank, name, rank.Rank, best) {
		c.ownChecksum[file] = name
	}
}

// before orders checksum files by rank and, so that listings agree, by name.
func ranksBefore(rank int, name string, otherRank int, other string) bool {
	return rank < otherRank || rank == otherRank && name < other
}

// claimLoose finds the files of checksum files that spell the name in another case,
// or leave out its extension ("a.sha256" for "a.csv"), where only one can be meant.
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

// of returns the best checksum file for the file of the name, if any.
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

// marker returns the done-marker of the file at the path, if it is there.
func (c *companions) marker(file string) ingest.Companion {
	wanted := c.server.MarkerOf(file)
	index, ok := c.usable[wanted[strings.LastIndexByte(wanted, '/')+1:]]
	if wanted == "" || !ok {
		return ingest.Companion{}
	}
	return c.companion(c.names[index])
}
