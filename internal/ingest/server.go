package ingest

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"
)

// ServerState is the state of a server as determined by scans.
type ServerState string

// The states of a server. They are independent of Server.Active, which operators set.
const (
	// ServerOK: the server is scanned when due.
	ServerOK ServerState = "ok"
	// ServerSuspended: a failure that affects every file of the server, see Kind.Suspends.
	// Scheduled scans stop until an operator repairs and then tests or edits the server.
	ServerSuspended ServerState = "suspended"
)

// Server is a partner's SFTP server with its settings.
type Server struct {
	ID   int64
	UUID string
	// Name is unique; it is used in output, logs and search attributes.
	Name string
	// Host is a DNS name or IP address; Port defaults to 22.
	Host     string
	Port     int
	Username string
	// PasswordEncrypted and PrivateKeyEncrypted are encrypted by package credentials and
	// useless for another server or address; empty when unused.
	PasswordEncrypted   []byte `json:"-"`
	PrivateKeyEncrypted []byte `json:"-"`
	// HostKeys are the pinned host keys, each an authorized_keys line ("ssh-ed25519
	// AAAA..."). Without one no login is attempted.
	HostKeys []string
	// RootPath is the listed folder: an absolute path, or "~" or "~/dir" for the
	// user's home folder on the server. Default "/".
	RootPath string
	// Include and Exclude are doublestar globs for the path below RootPath. An empty
	// Include matches all files; Exclude takes precedence.
	Include []string
	Exclude []string
	// MaxParallel is the concurrency limit: the number of files of this server in
	// flight on all workers. Default 4, at most MaxParallelLimit.
	MaxParallel int
	// Settle is the time without a change of size and time after which a file is
	// ready; at most 24 hours.
	Settle time.Duration
	// MinAge is the minimum age of a file, by its modification time or, if the
	// server's clock is wrong, by the time without a change. Default 0, at most 7
	// days.
	MinAge time.Duration
	// DoneMarker is the name of the file that marks another one as complete. "*"
	// stands for that file's name ("*.done"); without it the marker covers its folder
	// ("_SUCCESS"). Markers are not ingested. Default empty: files need no marker.
	DoneMarker string
	// SidecarWait is the time after the settle time that a file waits for a checksum
	// file. Default 0, at most 7 days.
	SidecarWait time.Duration
	// MaxDepth is the depth of listed folders below RootPath. Default and maximum 64.
	MaxDepth int
	// Transfer is the rule for choosing the transfer mode; default TransferAuto.
	Transfer TransferSetting
	// ReadOnce is for servers that remove a file when it is opened. Such a file is
	// opened once and verified by its size only. A connection lost during the download
	// loses the file. Default false.
	ReadOnce bool
	// LegacyAlgorithms also offers, with lower preference, SHA-1 signatures (ssh-rsa),
	// key exchanges and MACs for old SSH servers. Default false.
	LegacyAlgorithms bool
	// ScanInterval is the minimum interval of scheduled scans; default 1 minute.
	ScanInterval time.Duration
	// AfterIngest is the action on the source of a completed file; default AfterKeep.
	AfterIngest AfterIngest
	// OnCollision is the action of a move whose target exists; default CollisionRename.
	OnCollision Collision
	// Options are the rarely used settings.
	Options
	// Active is set by operators; an inactive server is paused.
	Active bool
	State  ServerState
	// LastError is the failure of the last scan, as one line; empty after success.
	LastError string
	// Unread lists the folders that the last complete scan could not read.
	Unread Unread
	// Attention lists what needs an operator; only set for display.
	Attention Attention
	// LastScanAt is the start of the last scan; zero before the first.
	LastScanAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	// Left describes remaining files on the server; only set for display.
	Left ServerLeft
	// ReadAt is the time of reading the server, by the database's clock.
	ReadAt time.Time
	// Late reports whether a scheduled scan is overdue, see Overdue; only set for display.
	Late bool
	// ReadWindow is the measured limit of outstanding reads of one file within the
	// last week; 0 for none.
	ReadWindow int
	// ConnectionLimit is the measured limit of connections of all processes; 0 for
	// none, or when a higher number is due to be tried.
	ConnectionLimit int
}

// Reads returns the maximum number of outstanding reads of one file; 0 means the
// worker's default.
func (s Server) Reads() int {
	if s.MaxReads > 0 {
		return s.MaxReads
	}
	return s.ReadWindow
}

// Processes renew the records of their connections in the ledger.
const (
	// ConnectionRenewal is the interval of renewals.
	ConnectionRenewal = 5 * time.Second
	// ConnectionOverdue is the time without a renewal after which a connection is shown
	// as one that may be gone.
	ConnectionOverdue = ConnectionRenewal + 3*time.Second
	// ConnectionExpiry is the time without a renewal after which the ledger takes the
	// connection of a process for that of a killed one.
	ConnectionExpiry = 20 * time.Second
)

// Connections returns the maximum number of connections of all processes to the
// server; 0 means no limit of its own. It is 1 with MaxParallel 1, because such
// servers often allow one session for each user.
func (s Server) Connections() int {
	most := s.MaxConnections
	if most == 0 && s.MaxParallel <= 1 {
		most = 1
	}
	return LowerLimit(most, s.ConnectionLimit)
}

// LowerLimit returns the lower of two limits; 0 means no limit.
func LowerLimit(a, b int) int {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// ServerLeft describes the files remaining on a server, by the last listing.
type ServerLeft struct {
	// Sources counts ingested files that are still there although they should have
	// been deleted or moved.
	Sources int64
	// InProgress counts names of files in progress, Alone companions without their file.
	InProgress, Alone int64
	// Oldest is the path, escaped for display, of the entry among InProgress and Alone
	// that has not changed for the longest time; empty for none. OldestSince is the time
	// when it was first seen.
	Oldest      string
	OldestSince time.Time
}

// Stale reports whether the oldest name is so old that it is probably abandoned.
func (l ServerLeft) Stale(at time.Time) bool {
	return !l.OldestSince.IsZero() && at.Sub(l.OldestSince) > staleName
}

// staleName is the age of a name in progress after which it is reported.
const staleName = 24 * time.Hour

// Credentials are a server's decrypted secrets. They exist in memory only.
type Credentials struct {
	// Password is empty for login by key alone.
	Password []byte
	// PrivateKey is an unencrypted PEM key, optionally followed by the line of a user
	// certificate; empty when unused.
	PrivateKey []byte
}

// String hides the secrets from every formatter.
func (Credentials) String() string { return "[credentials]" }

// GoString hides the secrets from %#v.
func (Credentials) GoString() string { return "[credentials]" }

// AfterIngest is the action on the source of a completed file: "keep" (default),
// "delete", or "move:/dir".
type AfterIngest string

// AfterKeep leaves the source on the server.
const AfterKeep AfterIngest = "keep"

// AfterDelete deletes the source.
const AfterDelete AfterIngest = "delete"

// afterMovePrefix is the prefix of a move action, before the folder.
const afterMovePrefix = "move:"

// MoveTo returns the folder of a move action; ok is false for other actions.
func (a AfterIngest) MoveTo() (dir string, ok bool) {
	return strings.CutPrefix(string(a), afterMovePrefix)
}

// Validate returns an error that lists the valid actions.
func (a AfterIngest) Validate() error {
	if a == AfterKeep || a == AfterDelete {
		return nil
	}
	if dir, ok := a.MoveTo(); ok && path.IsAbs(dir) && path.Clean(dir) == dir && dir != "/" {
		return nil
	}
	return fmt.Errorf("after-ingest %q: use keep, delete or move:/absolute/dir", a)
}

// Collision is the action of an after-ingest move whose target exists.
type Collision string

// The actions: CollisionRename prefixes the target's name with the file's uuid,
// CollisionOverwrite replaces the target, CollisionKeep leaves the source in
// place.
const (
	CollisionRename    Collision = "rename"
	CollisionOverwrite Collision = "overwrite"
	CollisionKeep      Collision = "keep"
)

// MaxParallelLimit is the maximum of Server.MaxParallel.
const MaxParallelLimit = 256

// HomeRoot is the first character of a RootPath in the user's home folder.
const HomeRoot = "~"

// MaxDepth is the default and maximum of Server.MaxDepth.
const MaxDepth = 64

// MarkerOf returns the raw path of the done-marker for the file, or "" when none
// is needed.
func (s Server) MarkerOf(file string) string {
	if s.DoneMarker == "" {
		return ""
	}
	slash := strings.LastIndexByte(file, '/') + 1
	return file[:slash] + strings.Replace(s.DoneMarker, "*", file[slash:], 1)
}

// WaitsForMarker returns the condition that a file waits for when marker is zero
// or, unless times are ignored, older than the file. It returns "" when the marker
// is valid.
func (s Server) WaitsForMarker(file string, modified time.Time, marker Companion) string {
	switch path := s.MarkerOf(file); {
	case path == "":
		return ""
	case marker.Path == "":
		return "its done-marker " + DisplayPath(path)
	case !s.Identity.Timeless() && marker.OlderThan(modified):
		return "a new done-marker " + DisplayPath(path) + ": the one there is older than the file"
	default:
		return ""
	}
}

// MarkedBy returns the path of the file that a done-marker with the name covers,
// or "" when the marker covers its folder.
func (s Server) MarkedBy(folder, name string) string {
	before, after, each := strings.Cut(s.DoneMarker, "*")
	if !each {
		return ""
	}
	return folder + name[len(before):len(name)-len(after)]
}

// MarkerEach reports whether each file has its own done-marker.
func (s Server) MarkerEach() bool { return strings.Contains(s.DoneMarker, "*") }

// IsMarker reports whether name is that of a done-marker, which is not ingested.
func (s Server) IsMarker(name string) bool {
	before, after, each := strings.Cut(s.DoneMarker, "*")
	switch {
	case s.DoneMarker == "":
		return false
	case !each:
		return name == s.DoneMarker
	default:
		return len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after)
	}
}

// ServerDefaults are configured defaults of server settings.
type ServerDefaults struct {
	Settle time.Duration
	// ScanInterval defaults to 1 minute.
	ScanInterval time.Duration
}

// WithDefaults returns s with defaults for unset fields. A negative Settle is unset.
func (s Server) WithDefaults(d ServerDefaults) Server {
	if s.Port == 0 {
		s.Port = 22
	}
	if s.RootPath == "" {
		s.RootPath = "/"
	}
	if s.MaxParallel == 0 {
		s.MaxParallel = 4
	}
	if s.AfterIngest == "" {
		s.AfterIngest = AfterKeep
	}
	if s.OnCollision == "" {
		s.OnCollision = CollisionRename
	}
	if s.Transfer == "" {
		s.Transfer = TransferAuto
	}
	if s.MaxDepth == 0 {
		s.MaxDepth = MaxDepth
	}
	if s.State == "" {
		s.State = ServerOK
	}
	if s.ScanInterval == 0 {
		s.ScanInterval = cmp.Or(d.ScanInterval, time.Minute)
	}
	if s.Settle < 0 {
		s.Settle = d.Settle
	}
	return s
}
