package demo

import (
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// version is the current version of a file on a server.
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

// completed reports whether the file has a completed row of its size.
func (v version) completed(rows []row) bool {
	return slices.ContainsFunc(rows, func(r row) bool {
		return v.owns(r) && r.Status == "completed" && r.SizeBytes == v.size
	})
}

func (v version) owns(r row) bool { return r.Server == v.server && r.RemotePath == v.path }

// listFiles returns the server's files without the samples' checksum files. A missing
// sample is an error.
func listFiles(server, root string, samples []sample) (all []version, err error) {
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

// ledger holds the data of the check. Of stevedore it uses only the list of files.
type ledger struct {
	// want holds every file on the servers with its digest.
	want []version
	// growing is the path of the file that was written during the scans.
	growing string
	// before holds the uuids of rows from earlier runs.
	before map[string]bool
	rows   []row
	// objects holds the keys in the bucket.
	objects map[string]bool
}

// check returns the row of each expected file, and the discrepancies: files without
// exactly one completed row, rows without a file, objects without exactly one row.
func (l ledger) check() (ingested []row, wrong []error) {
	isIngested, servers := map[string]bool{}, map[string]bool{}
	for _, v := range l.want {
		servers[v.server] = true
		same, seen := l.find(v)
		if len(same) != 1 {
			wrong = append(wrong, fmt.Errorf("%s: %d completed rows have its content (%d bytes of %s), must be 1; the ledger has: %s",
				v, len(same), v.size, v.digest, strings.Join(seen, "; ")))
		}
		for _, r := range same {
			isIngested[r.FileUUID] = true
		}
		ingested = append(ingested, same...)
	}
	for _, r := range l.rows {
		if servers[r.Server] && !l.before[r.FileUUID] && !isIngested[r.FileUUID] && !l.intermediate(r) {
			wrong = append(wrong, fmt.Errorf("unexpected row: %s:%s is %s", r.Server, r.RemotePath, r))
		}
	}
	return ingested, append(wrong, l.checkObjects(servers)...)
}

// find returns the completed rows of the version, and a description of all rows of its
// path.
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

// intermediate reports whether the row is an intermediate version of the growing file,
// which was listed but never opened.
func (l ledger) intermediate(r row) bool {
	return r.RemotePath == l.growing && (r.Status == "discovered" || r.Status == "superseded") && r.FileHash == ""
}

// checkObjects returns an error for each completed row of the demo's servers without an
// object of its own, and for each object without a row of any server or run.
func (l ledger) checkObjects(servers map[string]bool) (wrong []error) {
	owners := map[string]int{}
	for _, r := range l.rows {
		if servers[r.Server] && r.Status == "completed" && !l.objects[r.ObjectKey] {
			wrong = append(wrong, fmt.Errorf("%s:%s: object %q is not in the bucket", r.Server, r.RemotePath, r.ObjectKey))
		}
		if !l.intermediate(r) {
			owners[r.ObjectKey]++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.objects)) {
		if owners[key] != 1 {
			wrong = append(wrong, fmt.Errorf("object %s belongs to %d files, not 1", key, owners[key]))
		}
	}
	return wrong
}
