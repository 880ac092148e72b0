package ingest

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"
)

// ServerState says whether a server is scanned.
type ServerState string

// The states of a server, beside its is_active switch, which is an operator's.
const (
	// ServerOK: scanned when due.
	ServerOK ServerState = "ok"
	// ServerSuspended: a fault that only a person can mend (credentials, host
	// key); not scanned on schedule until it is repaired and tested or edited.
	ServerSuspended ServerState = "suspended"
)

// Server is a partner's SFTP server and how to treat it.
type Server struct {
	ID   int64
	UUID string
	// Name is unique, for people, logs and search attributes.
	Name string
	// Host is a DNS name or IP address; Port is 22 by default.
	Host     string
	Port     int
	Username string
	// PasswordEncrypted and PrivateKeyEncrypted are sealed by package credentials with
	// the server's uuid as associated data; empty when not used.
	PasswordEncrypted   []byte `json:"-"`
	PrivateKeyEncrypted []byte `json:"-"`
	// HostKeys are the pinned keys, one authorized_keys line each
	// ("ssh-ed25519 AAAA..."). A server without one is never logged in to.
	HostKeys []string
	// RootPath is the folder that is listed: absolute, or below the user's home
	// folder on the server as "~" or "~/dir"; default "/".
	RootPath string
	// Include and Exclude are doublestar globs matched against the path below
	// RootPath. Empty Include takes all; Exclude wins.
	Include []string
	Exclude []string
	// MaxParallel bounds the files of this server in flight across all
	// workers; default 4, at most MaxParallelLimit.
	MaxParallel int
	// Settle is how long size and time must stay unchanged before a file is taken.
	Settle time.Duration
	// MinAge is how old a file must be before it is taken, by its modification
	// time or, where the server's clock is wrong, by how long it was seen
	// unchanged; default 0, at most 7 days.
	MinAge time.Duration
	// DoneMarker names the file that says that another one is whole: "*" stands
	// for that file's name ("*.done"); without one it speaks for its folder
	// ("_SUCCESS"). Empty: files need no marker. Markers are not ingested.
	DoneMarker string
	// SidecarWait is how long after the settle time a file without a checksum
	// file waits for one; default 0, at most 7 days.
	SidecarWait time.Duration
	// MaxDepth is how many folders below RootPath are entered; default 64, which
	// is also the most.
	MaxDepth int
	// Transfer chooses how bytes travel; default auto.
	Transfer TransferSetting
	// ReadOnce is for servers that give a file away when it is opened: it is
	// opened once and not looked at afterwards. A connection lost half-way then
	// loses the file for good, and size is all that can be checked.
	ReadOnce bool
	// LegacyAlgorithms also offers, after the secure ones, what SSH servers of
	// old need: SHA-1 signatures (ssh-rsa), key exchanges and MACs.
	LegacyAlgorithms bool
	// ScanInterval is the least time between scheduled scans.
	ScanInterval time.Duration
	// AfterIngest says what happens to the source afterwards.
	AfterIngest AfterIngest
	// OnCollision says what a move does when the name is taken there.
	OnCollision Collision
	// Options are the settings that only some servers need.
	Options
	// Active is the operator's switch.
	Active bool
	State  ServerState
	// LastError is the last scan's failure as one line; empty after success.
	LastError string
	// Unread is what the last scan that reached its end could not read.
	Unread Unread
	// Attention is what waits for a person; set only where servers are shown.
	Attention Attention
	// LastScanAt is when the last scan began; zero when never.
	LastScanAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
	// Left is filled in where servers are shown to people.
	Left ServerLeft
	// ReadWindow is how many outstanding reads of one file the server was found to
	// bear within the last week; 0 when there is no known bound.
	ReadWindow int
	// ConnectionLimit is how many connections the server was found to bear, by all
	// processes together; 0 when there is no known bound, or when it is time to try
	// for more.
	ConnectionLimit int
}

// Reads is how many reads of one file may be outstanding; 0 means the worker's
// default.
func (s Server) Reads() int {
	if s.MaxReads > 0 {
		return s.MaxReads
	}
	return s.ReadWindow
}

// Connections is how many connections all processes together may have to the
// server; 0 has no bound of its own. Who wants one file at a time often has a
// server that lets a user in once.
func (s Server) Connections() int {
	most := s.MaxConnections
	if most == 0 && s.MaxParallel <= 1 {
		most = 1
	}
	if s.ConnectionLimit > 0 && (most == 0 || s.ConnectionLimit < most) {
		most = s.ConnectionLimit
	}
	return most
}

// ServerLeft is what is on a server and nobody takes away, by the last listing.
type ServerLeft struct {
	// Sources counts taken files that should have been deleted or moved and are
	// still there.
	Sources int64
	// InProgress counts names of files in progress, Alone companions without a file.
	InProgress, Alone int64
	// Oldest is the one of them that has been there unchanged for longest, as shown to
	// people, and OldestSince when it was first seen; empty when there is none.
	Oldest      string
	OldestSince time.Time
}

// Stale reports whether one of the names is there for so long that hardly anybody
// writes it any more.
func (l ServerLeft) Stale(at time.Time) bool {
	return !l.OldestSince.IsZero() && at.Sub(l.OldestSince) > staleName
}

// staleName is how long a file may be written before it is said.
const staleName = 24 * time.Hour

// Credentials are a server's secrets in clear. They live in memory only.
type Credentials struct {
	// Password is empty when the server is reached by key alone.
	Password []byte
	// PrivateKey is PEM, unencrypted, which the line of a user certificate may
	// follow; empty when unused.
	PrivateKey []byte
}

// String hides the secrets from every formatter.
func (Credentials) String() string { return "[credentials]" }

// GoString hides the secrets from %#v.
func (Credentials) GoString() string { return "[credentials]" }

// AfterIngest says what is done with the source once a file is safe:
// "keep" (default), "delete", or "move:/dir".
type AfterIngest string

// AfterKeep leaves the source as it is.
const AfterKeep AfterIngest = "keep"

// AfterDelete removes the source.
const AfterDelete AfterIngest = "delete"

// afterMovePrefix begins a move action; the rest is the folder.
const afterMovePrefix = "move:"

// MoveTo returns the folder of a move action.
func (a AfterIngest) MoveTo() (dir string, ok bool) {
	return strings.CutPrefix(string(a), afterMovePrefix)
}

// Validate says what is wrong with the action, if anything.
func (a AfterIngest) Validate() error {
	if a == AfterKeep || a == AfterDelete {
		return nil
	}
	if dir, ok := a.MoveTo(); ok && path.IsAbs(dir) && path.Clean(dir) == dir && dir != "/" {
		return nil
	}
	return fmt.Errorf("after-ingest %q: use keep, delete or move:/absolute/dir", a)
}

// Collision says what the after-ingest move does when the name is taken.
type Collision string

// The ways to deal with a taken name. Rename puts the file's uuid in front,
// Overwrite replaces what is there, Keep leaves the source where it is.
const (
	CollisionRename    Collision = "rename"
	CollisionOverwrite Collision = "overwrite"
	CollisionKeep      Collision = "keep"
)

// MaxParallelLimit is the most of Server.MaxParallel.
const MaxParallelLimit = 256

// HomeRoot begins a RootPath below the user's home folder on the server.
const HomeRoot = "~"

// MaxDepth is the default and the most of Server.MaxDepth.
const MaxDepth = 64

// MarkerOf returns the raw path of the done-marker for the file at path, and
// "" when none is needed or the file is itself a marker of the kind.
func (s Server) MarkerOf(file string) string {
	if s.DoneMarker == "" {
		return ""
	}
	slash := strings.LastIndexByte(file, '/') + 1
	return file[:slash] + strings.Replace(s.DoneMarker, "*", file[slash:], 1)
}

// WaitsForMarker says what a file waits for whose marker is none, or is older than
// the file, where times count; empty when the marker counts.
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

// MarkedBy returns the path of the file that a done-marker of the name in the
// folder speaks for; "" when it speaks for the folder.
func (s Server) MarkedBy(folder, name string) string {
	before, after, each := strings.Cut(s.DoneMarker, "*")
	if !each {
		return ""
	}
	return folder + name[len(before):len(name)-len(after)]
}

// MarkerEach reports whether each file has a done-marker of its own.
func (s Server) MarkerEach() bool { return strings.Contains(s.DoneMarker, "*") }

// IsMarker reports whether a file of the name is a done-marker and not one to
// be taken.
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

// ServerDefaults are used for what an operator left out.
type ServerDefaults struct {
	Settle time.Duration
	// ScanInterval is a minute when not set.
	ScanInterval time.Duration
}

// WithDefaults returns s with empty fields filled in.
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
