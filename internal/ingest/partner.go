package ingest

import (
	"fmt"
	"time"
)

// PartnerWait is what of a server waits for what only its partner can do.
type PartnerWait struct {
	// Files counts what waits, Markers those of them that wait for a done-marker and
	// Small those for more bytes. Others counts files that are on their way.
	Files, Markers, Small, Others int64
	// Example is what one of them waits for.
	Example string
	// ListedAt is when the last listing that reached its end began.
	ListedAt time.Time
}

// Only reports whether nothing but the partner can bring the server's files further,
// by a listing that began since then.
func (w PartnerWait) Only(since time.Time) bool {
	return w.Files > 0 && w.Others == 0 && !w.ListedAt.Before(since)
}

// String says what waits as one line; empty when nothing does.
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
	return fmt.Sprintf("%d file(s) wait for the partner: %se.g. %s", w.Files, kinds, DisplayPath(w.Example))
}
