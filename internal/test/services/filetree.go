package services

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Modes of nodes, as SFTP sends them.
const (
	modeFile   uint32 = 0o100644
	modeFolder uint32 = 0o040755
	modeLink   uint32 = 0o120777
	modeType   uint32 = 0o170000
)

// fileTree is a file system in memory, by absolute path. The caller locks.
type fileTree map[string]*treeNode

type treeNode struct {
	mode    uint32
	mtime   time.Time
	content []byte
	link    string // target of a symbolic link
}

func (n *treeNode) isFolder() bool { return n.mode&modeType == modeFolder&modeType }

// put adds a node that is an hour old, with its parent folders.
func (f fileTree) put(at string, n *treeNode) {
	n.mtime = time.Now().Add(-time.Hour)
	f[at] = n
	for at != "/" {
		at = path.Dir(at)
		if f[at] == nil {
			f[at] = &treeNode{mode: modeFolder, mtime: n.mtime}
		}
	}
}

// resolve returns the path with all links followed. Like Linux it follows at most 40
// links; beyond that it returns a path that does not exist.
func (f fileTree) resolve(at string) string {
	at, done := path.Join("/", at), "/"
	for links := 0; links <= 40; {
		if at == "/" {
			return done
		}
		name, rest, _ := strings.Cut(at[1:], "/")
		step := path.Join(done, name)
		at = path.Join("/", rest)
		if n := f[step]; n != nil && n.link != "" {
			at, done = path.Join(n.link, rest), "/"
			links++
			continue
		}
		done = step
	}
	return "/too many links"
}

// spelled returns the path with the case of the existing part.
func (f fileTree) spelled(at string) string {
	done := "/"
	for name := range strings.SplitSeq(strings.Trim(at, "/"), "/") {
		done = path.Join(done, name)
		for existing := range f {
			if strings.EqualFold(existing, done) {
				done = existing
				break
			}
		}
	}
	return done
}

// names returns the sorted names in a folder, including "." and "..".
func (f fileTree) names(folder string) []string {
	names := []string{".", ".."}
	for at := range f {
		if at != "/" && path.Dir(at) == folder {
			names = append(names, path.Base(at))
		}
	}
	slices.Sort(names)
	return names
}
