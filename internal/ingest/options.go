package ingest

import "time"

// Options are the rarely used settings of a server. The zero value of each is its
// default. They are stored as one JSON object. Settings describes them.
type Options struct {
	// InProgressNames are globs for names of files in progress, which are not
	// ingested. They match the last element of the path, ignoring case.
	// InProgressDefault in the list stands for the default names. Default nil,
	// which means InProgressDefault alone; an empty list means no globs.
	InProgressNames []string `json:"in_progress_names,omitzero"`
	// MinSize is the minimum size in bytes; smaller files count as in progress.
	// Default 0.
	MinSize int64 `json:"min_size,omitzero"`
	// Companions selects what happens to the done-marker and checksum file of a file
	// that is deleted or moved after ingest. Default CompanionsFollow.
	Companions Companions `json:"companions,omitzero"`
	// Identity selects the attributes that identify a version. Default IdentitySizeTime.
	Identity Identity `json:"identity,omitzero"`
	// HoldChanges is the number of known files that may look new in one listing. If
	// more do, all of them are held for an operator. Default 0, which means
	// DefaultHoldChanges; -1 disables holding.
	HoldChanges int `json:"hold_changes,omitzero"`
	// Resent selects the reaction to an unchanged file that reappears after it was
	// deleted or moved on the server. Default ResentShow.
	Resent Resent `json:"resent,omitzero"`
	// Moved selects the reaction to a new file with the name, size and time of an
	// ingested file of another path that is gone. Default MovedHold.
	Moved Moved `json:"moved,omitzero"`
	// FollowLinks ingests files behind symbolic links that point below the root
	// folder. Default false: symbolic links are rejected.
	FollowLinks bool `json:"follow_links,omitzero"`
	// ConnectTimeout bounds the TCP connection, LoginTimeout the time from the first
	// byte to the open SFTP channel, and AnswerTimeout the time without data during
	// one exchange. Default 0, which means the worker's timeouts.
	ConnectTimeout Duration `json:"connect_timeout,omitzero"`
	LoginTimeout   Duration `json:"login_timeout,omitzero"`
	AnswerTimeout  Duration `json:"answer_timeout,omitzero"`
	// MaxConnections bounds the connections of all processes to the server; listings
	// and transfers share them. Another server with the same account has its own bound.
	// Default 0, which means MaxParallel and one more, or the measured limit of the
	// server; 1 when MaxParallel is 1.
	MaxConnections int `json:"max_connections,omitzero"`
	// MaxReads bounds the outstanding read requests of one file. Default 0, which
	// means the measured limit of the server.
	MaxReads int `json:"max_reads,omitzero"`
	// MinRate is the minimum rate in bytes per second. A transfer below it for a
	// minute is ended and deferred, so that it does not hold a slot. Default 0, which
	// disables the check.
	MinRate int64 `json:"min_rate,omitzero"`
	// Proxy is the address of a SOCKS5 or HTTP proxy: socks5://host:port or
	// http://host:port. Default none.
	Proxy string `json:"proxy,omitzero"`
	// Jump is the name of another server of stevedore, whose SSH connection is used to
	// reach this one. Default none.
	Jump string `json:"jump,omitzero"`
	// AllowOverlap permits a server that may ingest the same files as another one;
	// each of the two then publishes a notification. Default false. See
	// Server.Overlap.
	AllowOverlap bool `json:"allow_overlap,omitzero"`
}

// InProgressDefault stands for the default names in Options.InProgressNames.
const InProgressDefault = "default"

// DefaultHoldChanges is the number meant by Options.HoldChanges 0.
const DefaultHoldChanges = 100

// Companions selects what happens to a file's done-marker and checksum file.
type Companions string

// The choices for companions: delete or move them with their file, or leave them.
const (
	CompanionsFollow Companions = "follow"
	CompanionsStay   Companions = "stay"
)

// Identity selects the attributes that identify a version of a file.
type Identity string

// The identities. With IdentitySize a new time alone makes no new version. With
// IdentitySizeHash a file with a new time is read, and is a new version only if
// its content differs.
const (
	IdentitySizeTime Identity = "size+mtime"
	IdentitySize     Identity = "size"
	IdentitySizeHash Identity = "size+hash"
)

// Resent selects the reaction to an unchanged file that reappears.
type Resent string

// The reactions: report the file to operators, or ingest it again.
const (
	ResentShow    Resent = "show"
	ResentDeliver Resent = "deliver"
)

// Moved selects the reaction to a file that seems to have been moved after ingest.
type Moved string

// The reactions: hold the file for an operator, or ingest it.
const (
	MovedHold    Moved = "hold"
	MovedDeliver Moved = "deliver"
)

// Duration is a time.Duration that JSON represents as a string like "1m30s".
type Duration time.Duration

// MarshalText formats the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText parses the duration as time.ParseDuration does.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}
