package ingest

import "slices"

// ListRequest is a request to list a server.
type ListRequest struct {
	// From is the folder at which to resume: its raw path below the root, with '/'
	// between names. Earlier folders are skipped. Empty starts at the root.
	From string
	// GiveUp, when not empty, is the reason to skip the folder From itself.
	GiveUp string
	// Brief limits the listing to a few entries and a short time. A larger listing
	// fails with KindTransient.
	Brief bool
	// Doubtful are the folders of earlier attempts whose listing ended with a failure
	// that may be the server's way to end a folder.
	Doubtful Unread
	// Entered, if not nil, is called before each folder is read, with its path as in
	// From, and with the unread and doubtful folders so far.
	Entered func(folder string, unread, doubtful Unread)
	// Omitted, if not nil, is called for each entry that gets no observation, or one
	// with Rejected or Ignored set. The paths of folders end in '/'.
	Omitted func(path string, o Omission)
}

// Unmatched summarizes the entries excluded by a server's globs.
type Unmatched struct {
	// Count is the number of excluded files and skipped folders.
	Count int64
	// Example is the path of the first one, escaped for display.
	Example string
}

// Add counts the entry at the raw path if the globs exclude it.
func (u *Unmatched) Add(path string, o Omission) {
	if o.Reason != OmitExcluded && o.Reason != OmitNotIncluded {
		return
	}
	if u.Count++; u.Count == 1 {
		u.Example = DisplayPath(path)
	}
}

// Unread lists the folders that a listing could not read.
type Unread struct {
	// Count is the number of folders; Folders holds at most MaxUnread of them.
	Count   int64          `json:"count"`
	Folders []UnreadFolder `json:"folders,omitempty"`
}

// UnreadFolder is a folder that could not be read.
type UnreadFolder struct {
	// Path is escaped for display and truncated.
	Path string `json:"path"`
	// Reason is one line that continues the path: "may not be read by ...".
	Reason string `json:"reason"`
}

const (
	// MaxNewRejected is the number of new rejected entries that one listing records.
	MaxNewRejected = 1_000
	// MaxRejected is the number of rejected entries recorded for one server. Further
	// ones are only counted.
	MaxRejected = 10_000
	// MaxUnread is the number of unread folders recorded for one listing.
	MaxUnread = 100
	// maxUnreadPath and maxUnreadReason bound the recorded texts, in bytes.
	maxUnreadPath, maxUnreadReason = 250, 250
)

// Add adds a folder by its raw path.
func (u *Unread) Add(path, reason string) {
	u.Count++
	if len(u.Folders) < MaxUnread {
		u.Folders = append(u.Folders, UnreadFolder{Path: truncate(DisplayPath(path), maxUnreadPath), Reason: truncate(reason, maxUnreadReason)})
	}
}

// Join adds the unread folders of another listing of other folders.
func (u *Unread) Join(other Unread) {
	u.Count += other.Count
	// Do not append in place: other values may share the slice.
	u.Folders = slices.Concat(u.Folders, other.Folders[:min(len(other.Folders), MaxUnread-len(u.Folders))])
}
