package ingest

import (
	"fmt"
	"time"
)

// PartnerWait summarizes a server's files that wait for the partner.
type PartnerWait struct {
	// Files counts waiting files. Of them, Markers wait for a done-marker, Small for
	// more bytes, and the rest for a checksum file. Others counts files that stevedore
	// still works on.
	Files, Markers, Small, Others int64
	// Example is the condition that one of these files waits for.
	Example string
	// ListedAt is the start of the latest listing that read every folder.
	ListedAt time.Time
}

// Only reports whether all unfinished files wait for the partner, by a listing
// that began no earlier than since.
func (w PartnerWait) Only(since time.Time) bool {
	return w.Files > 0 && w.Others == 0 && !w.ListedAt.Before(since)
}

// String returns the summary as one line; empty when no file waits.
func (w PartnerWait) String() string {
	if w.Files == 0 {
		return ""
	}
	kinds := ""
	add := func(n int64, what string) {
		if n > 0 {
			kinds += fmt.Sprintf("%d for %s, ", n, what)
		}
	}
	add(w.Markers, "a done-marker")
	add(w.Small, "more bytes")
	add(w.Files-w.Markers-w.Small, "a checksum file")
	return fmt.Sprintf("%s for the partner: %se.g. %s", Counted(w.Files, "file waits", "files wait"), kinds, DisplayPath(w.Example))
}
