package ingest

import (
	"fmt"
	"slices"
)

// ListRequest says how a server is listed.
type ListRequest struct {
	// From is the folder at which the listing goes on: its path below the root, with
	// '/' between the names as the server sent them. What comes before it is passed
	// over. Empty begins at the root.
	From string
	// GiveUp, when not empty, is why From itself is not read any more.
	GiveUp string
	// Brief bounds the listing to what is read in moments; more is an error of
	// KindTransient.
	Brief bool
	// Doubtful are folders of earlier attempts whose listing ended in a failure, which
	// may be how the server ends folders.
	Doubtful Unread
	// Entered, may be nil, is told each folder before it is read, as in From, and what
	// of the folders before could not be read, or is in doubt.
	Entered func(folder string, unread, doubtful Unread)
	// Unmatched, may be nil, is told the path of each file that the globs leave out,
	// and of each folder that is not entered for them; with a '/' at its end.
	Unmatched func(path string)
}

// Unmatched is what the globs of a server leave out.
type Unmatched struct {
	// Count is how many files, and folders that were not entered.
	Count int64
	// Example is the first of them.
	Example string
}

// Add takes one into account.
func (u *Unmatched) Add(path string) {
	if u.Count++; u.Count == 1 {
		u.Example = DisplayPath(path)
	}
}

// Note says what is left out of a listing that has taken so many entries; empty when
// nothing is. Globs that leave out everything are hardly meant so.
func (u Unmatched) Note(taken int64) string {
	switch {
	case u.Count == 0:
		return ""
	case taken == 0:
		return fmt.Sprintf("the patterns leave out everything, %s, e.g. %s: check --include and --exclude", Counted(u.Count, "entry", "entries"), u.Example)
	default:
		return fmt.Sprintf("%s left out by the patterns, e.g. %s", Counted(u.Count, "entry is", "entries are"), u.Example)
	}
}

// Unread is what a listing has not seen.
type Unread struct {
	// Count is how many folders; Folders are at most MaxUnread of them.
	Count   int64          `json:"count"`
	Folders []UnreadFolder `json:"folders,omitempty"`
}

// UnreadFolder is a folder that could not be read.
type UnreadFolder struct {
	// Path is for display, and shortened when it is long.
	Path string `json:"path"`
	// Reason is one line that goes on after the path: "may not be read by ...".
	Reason string `json:"reason"`
}

const (
	// MaxNewRejected is how many rejected entries one listing puts on record.
	MaxNewRejected = 1_000
	// MaxRejected is how many a server can have there; others are only counted.
	MaxRejected = 10_000
	// MaxUnread is how many unreadable folders are named of one listing.
	MaxUnread = 100
	// maxUnreadPath and maxUnreadReason bound what is kept of each, in bytes.
	maxUnreadPath, maxUnreadReason = 250, 250
)

// Add notes a folder by its raw path.
func (u *Unread) Add(path, reason string) {
	u.Count++
	if len(u.Folders) < MaxUnread {
		u.Folders = append(u.Folders, UnreadFolder{Path: truncate(DisplayPath(path), maxUnreadPath), Reason: truncate(reason, maxUnreadReason)})
	}
}

// Join notes what another listing, of other folders, has not seen.
func (u *Unread) Join(other Unread) {
	u.Count += other.Count
	// Not in place: others may have the same list.
	u.Folders = slices.Concat(u.Folders, other.Folders[:min(len(other.Folders), MaxUnread-len(u.Folders))])
}
