package ingest

import (
	"fmt"
	"strings"
	"time"
)

// Note is a sentence for operators about a server, a scan, a file or a step. API and command
// line show its text, the console translates it.
type Note struct {
	// Format and Args are those of fmt.Sprintf. The format is a key of the console's
	// catalogue; a test finds it as a literal of Notef or of this field.
	Format string
	Args   []any
	// Original is a text of another component that continues the sentence. It is not
	// translated; empty for none.
	Original string
	// Command is the stevedore command that shows more or acts; empty for none. The
	// console omits it, because its pages have links and buttons.
	Command string
}

// Notef returns a note without original and command.
func Notef(format string, args ...any) Note { return Note{Format: format, Args: args} }

// String returns the note as one line, safe to display.
func (n Note) String() string {
	text := fmt.Sprintf(n.Format, n.Args...)
	if n.Original != "" {
		text += ": " + n.Original
	}
	if n.Command != "" {
		text += "; run `stevedore " + n.Command + "`"
	}
	return DisplayPath(text)
}

// Notes returns what operators should know about the server, the most urgent first. Its
// last notes are those of the latest scan.
func (s Server) Notes() (notes []Note) {
	count := func(n int64, note Note) {
		if n > 0 {
			notes = append(notes, note)
		}
	}
	if s.Health() == HealthUnpinned {
		notes = append(notes, Note{
			Format:  "no host key is pinned, so workers do not log in; test the connection, compare the fingerprint with the partner and pin the key",
			Command: "server test " + s.Name,
		})
	}
	if s.Late {
		notes = append(notes, Notef("a scan is overdue; one should begin every %s", s.ScanInterval))
	}
	count(s.Unread.Count, Notef("folders that could not be read: %d", s.Unread.Count))
	count(s.Attention.Held.Files, Note{
		Format: "changed files", Original: s.Attention.HeldReason, Command: "server changes " + s.Name,
	})
	count(s.Attention.Resent, Notef("files on the server again, unchanged, after they were deleted or moved: %d", s.Attention.Resent))
	count(s.Left.Sources, Note{
		Format: "ingested files that could not be deleted or moved: %d", Args: []any{s.Left.Sources}, Command: "file list --left --server " + s.Name,
	})
	if s.Attention.Deferred != "" {
		notes = append(notes, Note{Format: "deferred files", Original: s.Attention.Deferred})
	}
	if s.Left.Stale(s.ReadAt) {
		notes = append(notes, Notef("in progress since %s: %s; if it is complete, change the names of files in progress",
			s.Left.OldestSince.UTC().Format(time.RFC3339), s.Left.Oldest))
	}
	return append(notes, s.Attention.LastScan.Notes()...)
}

// Notes returns what the scan did not record, and why.
func (s Scan) Notes() (notes []Note) {
	count := func(n int64, format string) {
		if n > 0 {
			notes = append(notes, Notef(format, n))
		}
	}
	count(s.Errors, "folders that could not be read: %d")
	if s.Excluded.Count > 0 {
		notes = append(notes, s.Excluded.Note(s.Seen))
	}
	count(s.InProgress, "names of files in progress, not ingested: %d")
	count(s.Alone, "done-markers and checksum files without their file: %d")
	count(s.Rejected, "rejected because of an unsafe name or type: %d")
	if s.Note != "" {
		notes = append(notes, Note{Format: "note of the scan", Original: s.Note})
	}
	return notes
}

// Note returns the note on the excluded entries of a listing with the number of matched
// entries. It warns when the globs exclude everything, which is probably a mistake.
func (u Unmatched) Note(matched int64) Note {
	if matched == 0 {
		return Notef("the patterns exclude everything: %d entries, e.g. %s; check include and exclude", u.Count, u.Example)
	}
	return Notef("excluded by the patterns: %d, e.g. %s", u.Count, u.Example)
}

// Waits returns what an unfinished file without a running step waits for, as a noun that
// continues "waits for"; ok is false when it waits for nothing known.
func (f File) Waits() (n Note, ok bool) {
	started := f.Status != StatusDiscovered && f.Status != StatusReady
	switch {
	case started:
		return n, false
	case f.ServerPaused:
		return Note{Format: "its paused server", Command: "server resume " + f.ServerName}, true
	case f.ServerSuspended:
		return Note{Format: "its suspended server", Command: "server test " + f.ServerName}, true
	case f.Status == StatusDiscovered && f.WaitsFor != "":
		return Notef("%s", f.WaitsFor), true
	case f.Status == StatusDiscovered:
		return Notef("its settle time, until %s", f.SettlesAt.UTC().Format(time.RFC3339)), true
	case f.Deferrals > 0:
		return Notef("its next try at %s", f.NotBefore.UTC().Format(time.RFC3339)), true
	}
	return Notef("a free slot of the server, or a worker"), true
}

// farFuture is more than any plausible difference of clocks.
const farFuture = 24 * time.Hour

// Notes returns remarks on unusual attributes of the file.
func (f File) Notes(now time.Time) (notes []Note) {
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	if f.ModTime.Unix() == 0 {
		notes = append(notes, Notef("the server reports no modification time: a replacement of the same size cannot be detected"))
	}
	if f.ModTime.After(now.Add(farFuture)) {
		notes = append(notes, Notef("its modification time is in the future: the server's clock or the file's time is wrong"))
	}
	if !f.ShownTime.IsZero() {
		notes = append(notes, Notef("listings show %d bytes of %s, but a stat of the file %d bytes of %s, which is used",
			f.ShownSize, at(f.ShownTime), f.Size, at(f.ModTime)))
	}
	if !f.ResentAt.IsZero() {
		notes = append(notes, Note{
			Format: "it was deleted or moved on the server at %s, and the server shows the same size and time again: it is not ingested again; " +
				"remove it there, or let stevedore ingest reappeared files",
			Args: []any{at(f.SourceGoneAt)}, Command: strings.TrimSpace("server edit "+f.ServerName) + " --resent deliver",
		})
	}
	if f.Status == StatusSuperseded && f.ErrorKind == KindChanged {
		notes = append(notes, Notef("it changed while it was read, or its bytes did not match its size: if the server shows the same version again, "+
			"it is retried; after %d attempts it fails", MaxFailedReads))
	}
	if f.Delivery > 0 {
		notes = append(notes, Notef("it is delivery %d of the same size and time: the earlier ones were deleted or moved on the server", f.Delivery+1))
	}
	return notes
}
