package audit

import (
	"fmt"
	"time"

	"stevedore/internal/ingest"
)

// Source is one entry on a server.
type Source struct {
	Server string
	// Path is the raw remote path.
	Path string
	// Size in bytes.
	Size int64
	// SHA256 of the present content, in lower-case hex. Empty if unknown: then Size and
	// ModTime identify the version.
	SHA256  string
	ModTime time.Time
	// Rejected, when not empty, is why the entry must not be opened.
	Rejected string
	// Young: it changed so recently that the next scan may still find it.
	Young bool
	// Listed is the earliest time at which it can have been listed.
	Listed time.Time
}

// Row is one ledger row with its events, oldest first.
type Row = ingest.History

// StoredObject is one object in the store.
type StoredObject struct {
	Key string
	// Size in bytes.
	Size int64
	// SHA256 of its bytes, empty if they were not read.
	SHA256 string
	// MetaSHA256 is the SHA-256 in its metadata.
	MetaSHA256 string
	// Checksum is the store's own, see ingest.Object.
	Checksum string
}

// Message is one notification as consumers receive it.
type Message struct {
	ID     string
	Key    string
	SHA256 string
}

// Evidence is everything found outside the sources.
type Evidence struct {
	Rows     []Row
	Objects  []StoredObject
	Messages []Message
	// OpenUploads counts unfinished multipart uploads.
	OpenUploads int
	// Staged counts the files in staging folders.
	Staged int
}

// The marks of discrepancies.
const (
	Missing    = ingest.AuditMissing
	Extra      = ingest.AuditExtra
	Wrong      = ingest.AuditWrong
	NotAudited = ingest.AuditNotAudited
)

// Discrepancy is one discrepancy.
type Discrepancy = ingest.Discrepancy

// subject is the file, entry or object of a discrepancy.
type subject Discrepancy

// discrepancy returns the subject's discrepancy with a mark and a reason.
func (s subject) discrepancy(mark ingest.AuditMark, format string, args ...any) Discrepancy {
	s.Mark, s.Why = mark, ingest.DisplayPath(fmt.Sprintf(format, args...))
	return Discrepancy(s)
}

// itemSubject is for items that are not files.
func itemSubject(name string) subject { return subject{What: ingest.DisplayPath(name)} }

// pathSubject is for a raw path of a server.
func pathSubject(server, path string) subject {
	shown := ingest.DisplayPath(path)
	return subject{What: server + ":" + shown, Server: server, Path: shown}
}

// fileSubject is for a file of the ledger.
func fileSubject(f ingest.File) subject {
	s := pathSubject(f.ServerName, f.RemotePath)
	s.FileUUID = f.UUID
	return s
}

// location is a server name and a raw path.
type location struct{ server, path string }

// Check compares sources with the evidence and returns every discrepancy; none means
// exactly once. All work must have ended.
func Check(sources []Source, e Evidence) []Discrepancy {
	c := checker{final: true}
	var found []Discrepancy
	rows, known := map[location][]ingest.File{}, map[location]bool{}
	for _, row := range e.Rows {
		at := location{row.File.ServerName, row.File.RemotePath}
		rows[at] = append(rows[at], row.File)
	}
	for _, s := range sources {
		at := location{s.Server, s.Path}
		known[at] = true
		found = append(found, c.source(s, rows[at]).discrepancies...)
	}
	objects, messages := map[string][]StoredObject{}, map[string][]Message{}
	for _, o := range e.Objects {
		objects[o.Key] = append(objects[o.Key], o)
	}
	for _, m := range e.Messages {
		messages[m.Key] = append(messages[m.Key], m)
	}
	for _, row := range e.Rows {
		f := row.File
		found = append(found, c.file(row, objects[f.ObjectKey]).discrepancies...)
		if f.Status == ingest.StatusCompleted {
			found = append(found, c.messages(f, messages[f.ObjectKey])...)
			if !known[location{f.ServerName, f.RemotePath}] {
				found = append(found, fileSubject(f).discrepancy(Extra, "a row is completed for a path that no source has"))
			}
		}
	}
	return append(found, withoutRow(e)...)
}

// withoutRow finds objects and messages without a row, open uploads and staged files.
func withoutRow(e Evidence) (found []Discrepancy) {
	keys := map[string]bool{}
	for _, row := range e.Rows {
		keys[row.File.ObjectKey] = true
	}
	for _, o := range e.Objects {
		if !keys[o.Key] {
			found = append(found, objectWithoutRow(o.Key))
		}
	}
	for _, m := range e.Messages {
		if !keys[m.Key] {
			found = append(found, itemSubject(m.ID).discrepancy(Extra, "the queue has a message for an object without a row"))
		}
	}
	if e.OpenUploads > 0 {
		found = append(found, itemSubject("store").discrepancy(Extra, "%d unfinished multipart uploads are left", e.OpenUploads))
	}
	if e.Staged > 0 {
		found = append(found, itemSubject("staging").discrepancy(Extra, "%s left", ingest.Counted(e.Staged, "file is", "files are")))
	}
	return found
}
