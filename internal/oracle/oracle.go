// Package oracle says whether everything arrived exactly once and nothing was
// left behind. It compares what sources hold with what the ledger, the object
// store, the queue and the staging folder show; it only judges, others collect.
package oracle

import (
	"fmt"
	"slices"

	"stevedore/internal/ingest"
)

// Source is one file as its server holds it.
type Source struct {
	Server string
	// Path is the raw remote path.
	Path string
	// Size in bytes; SHA256 in lower-case hex of the content now.
	Size   int64
	SHA256 string
}

// Row is one ledger row with its events, oldest first.
type Row struct {
	File   ingest.File
	Events []ingest.StoredEvent
}

// StoredObject is one object, re-read.
type StoredObject struct {
	Key  string
	Size int64
	// SHA256 is computed from its bytes; MetaSHA256 is what its metadata says.
	SHA256     string
	MetaSHA256 string
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

// Difference is one thing that is not as it must be.
type Difference struct {
	// Mark is "-" missing, "+" too much, "!" different.
	Mark string
	// What names the file or thing; Why is one line.
	What string
	Why  string
}

// String returns the difference as one line.
func (d Difference) String() string { return d.Mark + " " + d.What + ": " + d.Why }

// judge collects differences.
type judge struct {
	e     Evidence
	found []Difference
}

// Judge compares sources with the evidence and returns every difference; none
// means exactly once.
func Judge(sources []Source, e Evidence) []Difference {
	j := &judge{e: e}
	known := map[string]bool{}
	for _, s := range sources {
		known[s.Server+"\x00"+s.Path] = true
		j.source(s)
	}
	keys := map[string]bool{}
	for _, row := range e.Rows {
		j.row(row, known)
		keys[row.File.ObjectKey] = true
	}
	for _, o := range e.Objects {
		if !keys[o.Key] {
			j.add("+", o.Key, "the store has an object that no row names")
		}
	}
	for _, m := range e.Messages {
		if !keys[m.Key] {
			j.add("+", m.ID, "the queue has a message for an object that no row names")
		}
	}
	if e.OpenUploads > 0 {
		j.add("+", "store", "%d unfinished multipart uploads are left", e.OpenUploads)
	}
	if e.Staged > 0 {
		j.add("+", "staging", "%d files are left", e.Staged)
	}
	return j.found
}

func (j *judge) add(mark, what, why string, args ...any) {
	j.found = append(j.found, Difference{Mark: mark, What: what, Why: fmt.Sprintf(why, args...)})
}

// source checks that one version of the file is completed, with these bytes.
func (j *judge) source(s Source) {
	what := s.Server + ":" + ingest.DisplayPath(s.Path)
	var completed []ingest.File
	for _, row := range j.e.Rows {
		f := row.File
		if f.ServerName == s.Server && f.RemotePath == s.Path && f.Status == ingest.StatusCompleted && f.Hash == s.SHA256 {
			completed = append(completed, f)
		}
	}
	switch {
	case len(completed) == 0:
		j.add("-", what, "no completed row has its content")
	case len(completed) > 1:
		j.add("+", what, "%d completed rows have its content", len(completed))
	case completed[0].Size != s.Size:
		j.add("!", what, "the row has %d bytes, the source %d", completed[0].Size, s.Size)
	}
}

// row checks a row, its object, its messages and its events.
func (j *judge) row(row Row, known map[string]bool) {
	f := row.File
	what := f.ServerName + ":" + ingest.DisplayPath(f.RemotePath)
	j.events(what, row)
	if f.Status != ingest.StatusCompleted {
		if !f.Status.Terminal() {
			j.add("!", what, "it is %s: %s", f.Status, f.ErrorMessage)
		}
		return
	}
	if !known[f.ServerName+"\x00"+f.RemotePath] {
		j.add("+", what, "a row is completed for a path that no source has")
	}
	j.object(what, f)
	j.messages(what, f)
}

func (j *judge) object(what string, f ingest.File) {
	var objects []StoredObject
	for _, o := range j.e.Objects {
		if o.Key == f.ObjectKey {
			objects = append(objects, o)
		}
	}
	if len(objects) != 1 {
		j.add("-", what, "%d objects under %s", len(objects), f.ObjectKey)
		return
	}
	if o := objects[0]; o.SHA256 != f.Hash || o.MetaSHA256 != f.Hash || o.Size != f.Size {
		j.add("!", what, "object %s is %d bytes of sha256 %s (metadata: %s), the row says %d bytes of %s",
			o.Key, o.Size, o.SHA256, o.MetaSHA256, f.Size, f.Hash)
	}
}

// messages checks that there is at least one, all with one id.
func (j *judge) messages(what string, f ingest.File) {
	var ids []string
	for _, m := range j.e.Messages {
		if m.Key != f.ObjectKey {
			continue
		}
		ids = append(ids, m.ID)
		if m.SHA256 != f.Hash {
			j.add("!", what, "message %s announces sha256 %s, the row says %s", m.ID, m.SHA256, f.Hash)
		}
	}
	if slices.Sort(ids); len(ids) == 0 {
		j.add("-", what, "it was never announced")
	} else if ids = slices.Compact(ids); len(ids) > 1 {
		j.add("+", what, "it was announced under %d message ids", len(ids))
	}
}

// once lists the events that a way without an operator's help has exactly once.
var once = []ingest.EventType{
	ingest.EventDiscovered, ingest.EventSettled, ingest.EventDownloadStarted, ingest.EventDownloaded,
	ingest.EventVerified, ingest.EventUploadStart, ingest.EventUploaded, ingest.EventNotified,
}

// events checks that a completed file's events are complete, in order and not
// doubled. A file that an operator sent round again may repeat them.
func (j *judge) events(what string, row Row) {
	if row.File.Status != ingest.StatusCompleted || row.File.Round > 0 {
		return
	}
	var order []ingest.EventType
	for _, e := range row.Events {
		if slices.Contains(once, e.Type) {
			order = append(order, e.Type)
		}
	}
	if !slices.Equal(order, once) {
		j.add("!", what, "its events are %v, they must be %v", order, once)
	}
}
