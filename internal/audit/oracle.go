// Package audit says whether everything arrived exactly once and nothing was
// left behind. It compares what sources hold with what the ledger, the object
// store, the queue and the staging folder show.
//
// How one file and one source entry are judged is in judge.go, once. Two
// drivers bring the evidence: Check has all of it in memory and is how tests
// end, when nothing may be under way any more; Auditor streams it from a system
// that goes on working.
package audit

import (
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// Source is one entry as its server holds it.
type Source struct {
	Server string
	// Path is the raw remote path.
	Path string
	// Size in bytes; SHA256 in lower-case hex of the content now, empty when it
	// is not known: then Size and ModTime say which version it is.
	Size    int64
	SHA256  string
	ModTime time.Time
	// Rejected, when not empty, says why it must not be opened.
	Rejected string
	// Young says that it changed so recently that no scan need have seen it.
	Young bool
	// Listed is when it was listed at the earliest.
	Listed time.Time
}

// Row is one ledger row with its events, oldest first.
type Row = ingest.History

// StoredObject is one object, re-read.
type StoredObject struct {
	Key  string
	Size int64
	// SHA256 is computed from its bytes, empty when they were not read;
	// MetaSHA256 is what its metadata says.
	SHA256     string
	MetaSHA256 string
	// Checksum is the store's own, see ingest.Object.
	Checksum string
}

// Message is one announcement as a consumer gets it.
type Message struct {
	ID     string
	Key    string
	SHA256 string
}

// Evidence is everything that was found.
type Evidence struct {
	Rows     []Row
	Objects  []StoredObject
	Messages []Message
	// OpenUploads counts unfinished multipart uploads, Staged the files still
	// in staging folders.
	OpenUploads int
	Staged      int
}

// The marks of differences.
const (
	Missing = ingest.AuditMissing
	Extra   = ingest.AuditExtra
	Wrong   = ingest.AuditWrong
)

// Difference is one thing that is not as it must be.
type Difference = ingest.AuditDifference

// subject is what a difference is about.
type subject Difference

// why returns the difference with a mark and a reason.
func (d subject) why(mark ingest.AuditMark, format string, args ...any) Difference {
	d.Mark, d.Why = mark, ingest.DisplayPath(fmt.Sprintf(format, args...))
	return Difference(d)
}

// thing is something that is no file.
func thing(what string) subject { return subject{What: ingest.DisplayPath(what)} }

// at is a path of a server.
func at(server, path string) subject {
	shown := ingest.DisplayPath(path)
	return subject{What: server + ":" + shown, Server: server, Path: shown}
}

// of is a file of the ledger.
func of(f ingest.File) subject {
	d := at(f.ServerName, f.RemotePath)
	d.FileUUID = f.UUID
	return d
}

// place is a server and a raw path.
type place struct{ server, path string }

// Check compares sources with the evidence and returns every difference; none
// means exactly once. Nothing may be under way any more.
func Check(sources []Source, e Evidence) []Difference {
	r := rules{final: true}
	var found []Difference
	rows, known := map[place][]ingest.File{}, map[place]bool{}
	for _, row := range e.Rows {
		p := place{row.File.ServerName, row.File.RemotePath}
		rows[p] = append(rows[p], row.File)
	}
	for _, s := range sources {
		p := place{s.Server, s.Path}
		known[p] = true
		found = append(found, r.source(s, rows[p]).differences...)
	}
	objects, messages := byKey(e.Objects, objectKey), byKey(e.Messages, messageKey)
	for _, row := range e.Rows {
		f := row.File
		found = append(found, r.file(row, objects[f.ObjectKey]).differences...)
		if f.Status == ingest.StatusCompleted {
			found = append(found, r.messages(f, messages[f.ObjectKey])...)
			if !known[place{f.ServerName, f.RemotePath}] {
				found = append(found, of(f).why(Extra, "a row is completed for a path that no source has"))
			}
		}
	}
	return append(found, leftOver(e)...)
}

func objectKey(o StoredObject) string { return o.Key }
func messageKey(m Message) string     { return m.Key }

func byKey[T any](things []T, key func(T) string) map[string][]T {
	index := map[string][]T{}
	for _, t := range things {
		index[key(t)] = append(index[key(t)], t)
	}
	return index
}

// leftOver finds what belongs to no row.
func leftOver(e Evidence) (found []Difference) {
	keys := map[string]bool{}
	for _, row := range e.Rows {
		keys[row.File.ObjectKey] = true
	}
	for _, o := range e.Objects {
		if !keys[o.Key] {
			found = append(found, extraObject(o.Key))
		}
	}
	for _, m := range e.Messages {
		if !keys[m.Key] {
			found = append(found, thing(m.ID).why(Extra, "the queue has a message for an object that no row names"))
		}
	}
	if e.OpenUploads > 0 {
		found = append(found, thing("store").why(Extra, "%d unfinished multipart uploads are left", e.OpenUploads))
	}
	if e.Staged > 0 {
		found = append(found, thing("staging").why(Extra, "%s left", ingest.Counted(int64(e.Staged), "file is", "files are")))
	}
	return found
}
