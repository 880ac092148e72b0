package ingest

import (
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
	// PasswordEncrypted and PrivateKeyEncrypted are sealed by the vault with
	// the server's uuid as associated data; empty when not used.
	PasswordEncrypted   []byte `json:"-"`
	PrivateKeyEncrypted []byte `json:"-"`
	// HostKeys are the pinned keys, one authorized_keys line each
	// ("ssh-ed25519 AAAA..."). A server without one is never logged in to.
	HostKeys []string
	// RootPath is the absolute folder that is listed; default "/".
	RootPath string
	// Include and Exclude are doublestar globs matched against the path below
	// RootPath. Empty Include takes all; Exclude wins.
	Include []string
	Exclude []string
	// MaxParallel bounds the files of this server in flight across all
	// workers; default 4, at most 64.
	MaxParallel int
	// Settle is how long size and time must stay unchanged before a file is taken.
	Settle time.Duration
	// ScanInterval is the least time between scheduled scans.
	ScanInterval time.Duration
	// AfterIngest says what happens to the source afterwards.
	AfterIngest AfterIngest
	// Active is the operator's switch.
	Active bool
	State  ServerState
	// LastError is the last scan's failure as one line; empty after success.
	LastError string
	// LastScanAt is when the last scan began; zero when never.
	LastScanAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Credentials are a server's secrets in clear. They live in memory only.
type Credentials struct {
	// Password is empty when the server is reached by key alone.
	Password []byte
	// PrivateKey is PEM (OpenSSH or PKCS#8), unencrypted; empty when unused.
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

// ServerDefaults are used for what an operator left out.
type ServerDefaults struct {
	Settle       time.Duration
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
	if s.State == "" {
		s.State = ServerOK
	}
	if s.ScanInterval == 0 {
		s.ScanInterval = d.ScanInterval
	}
	if s.Settle < 0 {
		s.Settle = d.Settle
	}
	return s
}

// Validate returns all that is wrong with the server's settings, field by
// field, each saying what would be right. Globs are checked by their matcher.
func (s Server) Validate() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Name == "" || len(s.Name) > 63 || strings.IndexFunc(s.Name, notNameRune) >= 0 {
		bad("name %q: use 1 to 63 letters, digits, '-', '_' or '.'", s.Name)
	}
	if s.Host == "" || strings.ContainsAny(s.Host, " /@\t\n") {
		bad("host %q: use a DNS name or an IP address", s.Host)
	}
	if s.Port < 1 || s.Port > 65535 {
		bad("port %d: use 1 to 65535", s.Port)
	}
	if s.Username == "" {
		bad("username: must not be empty")
	}
	if !path.IsAbs(s.RootPath) || path.Clean(s.RootPath) != s.RootPath {
		bad("path %q: use an absolute path without '..' or a trailing '/'", s.RootPath)
	}
	if s.MaxParallel < 1 || s.MaxParallel > 64 {
		bad("max-parallel %d: use 1 to 64", s.MaxParallel)
	}
	if s.Settle < 0 || s.Settle > 24*time.Hour {
		bad("settle %s: use 0s to 24h", s.Settle)
	}
	if err := s.AfterIngest.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// notNameRune reports runes that a server name may not hold: names appear in
// metrics, search attributes and shell commands unquoted.
func notNameRune(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
}
