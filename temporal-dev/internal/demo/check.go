package demo

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// version is a file as it is on a server now.
type version struct {
	server, path string
	size         int64
	digest       string // SHA-256 in hexadecimal, empty before hash
}

func (v version) String() string { return v.server + ":" + v.path }

// hash reads the file.
func (v *version) hash() (err error) {
	v.digest, v.size, err = hashFile(v.path)
	return err
}

// taken reports whether a completed row has its size.
func (v version) taken(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool {
		return v.owns(r) && r.Status == "completed" && r.SizeBytes == v.size
	})
}

func (v version) owns(r row) bool { return r.Server == v.server && r.RemotePath == v.path }

// offered returns the server's files without the samples' checksum files. A
// sample that is not there is an error.
func offered(server, root string, samples []sample) (all []version, err error) {
	missing, sidecars := map[string]bool{}, map[string]bool{}
	for _, s := range samples {
		if s.server == server {
			missing[s.remotePath(root)] = true
			sidecars[s.remotePath(root)+sidecarSuffix] = s.sidecar
		}
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || sidecars[path] {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		delete(missing, path)
		all = append(all, version{server: server, path: path, size: info.Size()})
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("not on server %s: %v", server, slices.Sorted(maps.Keys(missing)))
	}
	return all, err
}

// ledger is what the check compares: it trusts stevedore in nothing but what
// it lists.
type ledger struct {
	// want is every file on the servers, hashed.
	want []version
	// growing is the path of the file that was written while scans looked.
	growing string
	// before are the uuids of rows from earlier runs.
	before map[string]bool
	rows   []row
	// objects are the keys in the bucket.
	objects map[string]bool
}

// judge returns the row of each expected file, and what is wrong: a file
// without exactly one completed row, a row that nothing on the servers
// explains, an object that is not exactly one row's.
func (l ledger) judge() (taken []row, wrong []error) {
	isTaken, servers := map[string]bool{}, map[string]bool{}
	for _, v := range l.want {
		servers[v.server] = true
		same, seen := l.find(v)
		if len(same) != 1 {
			wrong = append(wrong, fmt.Errorf("%s: %d completed rows have its content (%d bytes of %s), must be 1; the ledger has: %s",
				v, len(same), v.size, v.digest, strings.Join(seen, "; ")))
		}
		for _, r := range same {
			isTaken[r.FileUUID] = true
		}
		taken = append(taken, same...)
	}
	for _, r := range l.rows {
		if servers[r.Server] && !l.before[r.FileUUID] && !isTaken[r.FileUUID] && !l.passing(r) {
			wrong = append(wrong, fmt.Errorf("unexpected row: %s:%s is %s", r.Server, r.RemotePath, r))
		}
	}
	return taken, append(wrong, l.judgeObjects(servers)...)
}

// find returns the completed rows of the version, and all rows of its path in
// words.
func (l ledger) find(v version) (same []row, seen []string) {
	for _, r := range l.rows {
		if !v.owns(r) {
			continue
		}
		seen = append(seen, r.String())
		if r.Status == "completed" && r.FileHash == v.digest && r.SizeBytes == v.size {
			same = append(same, r)
		}
	}
	return same, seen
}

// passing reports whether the row is of a moment in the growing file's life:
// seen by a scan, never opened.
func (l ledger) passing(r row) bool {
	return r.RemotePath == l.growing && (r.Status == "discovered" || r.Status == "superseded") && r.FileHash == ""
}

// judgeObjects says which completed rows of the demo's servers have no object
// of their own, and which objects have no row. Rows of other servers, and of
// earlier runs, have objects, too.
func (l ledger) judgeObjects(servers map[string]bool) (wrong []error) {
	owners := map[string]int{}
	for _, r := range l.rows {
		if servers[r.Server] && r.Status == "completed" && !l.objects[r.ObjectKey] {
			wrong = append(wrong, fmt.Errorf("%s:%s: object %q is not in the bucket", r.Server, r.RemotePath, r.ObjectKey))
		}
		if !l.passing(r) {
			owners[r.ObjectKey]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.objects)) {
		if owners[key] != 1 {
			wrong = append(wrong, fmt.Errorf("object %s belongs to %d files", key, owners[key]))
		}
	}
	return wrong
}
