package ingest

import (
	"strings"
	"time"
)

// SettingGroup is a section of settings in forms.
type SettingGroup string

// The groups of settings. Forms fold GroupAdvanced; only those of its settings that
// differ from their defaults are displayed.
const (
	GroupConnection  SettingGroup = "connection"
	GroupFiles       SettingGroup = "files"
	GroupSchedule    SettingGroup = "schedule"
	GroupAfterIngest SettingGroup = "after_ingest"
	GroupAdvanced    SettingGroup = "advanced"
)

// Setting describes a setting of a server.
type Setting struct {
	// Field is the name in the API and in the audit log.
	Field string
	// Group is the section in forms.
	Group SettingGroup
	// Label is the label in forms, Help one line about the meaning and the valid values.
	Label, Help string
	// Placeholder stands for the value in the help of the command line. Default: the
	// choices, or a word for the type.
	Placeholder string
	// Default is the environment variable that holds the default; empty if the default is
	// fixed.
	Default string
	// Choices are the valid values, the default first; empty when values are not limited.
	Choices []string
	// Min and Max are the limits of a number, or of a duration in nanoseconds. Both 0
	// means no limits.
	Min, Max int64
	// ZeroMeans describes the value 0. Set it when 0 is valid although it is below Min.
	ZeroMeans string
	// Required is set when the value must not be empty, Exact when surrounding spaces
	// belong to it.
	Required, Exact bool
	// Reach is set when the setting may decide whether the server can be reached and
	// listed. A change of it ends a suspension, see SameReach.
	Reach bool
	// flag is the name on the command line if it does not follow from Field.
	flag string
	// pointer or, for a setting stored as an option, option returns the address of the value.
	pointer func(*Server) any
	option  func(*Options) any
}

// Flag returns the name of the setting on the command line.
func (i Setting) Flag() string {
	if i.flag != "" {
		return i.flag
	}
	return strings.ReplaceAll(i.Field, "_", "-")
}

// SettingOf returns the setting with the name in the API.
func SettingOf(field string) (Setting, bool) {
	for _, setting := range Settings {
		if setting.Field == field {
			return setting, true
		}
	}
	return Setting{}, false
}

// maxBytes bounds sizes and rates in settings.
const maxBytes = 1 << 40

// maxAnswerTimeout bounds the timeouts of a server. A longer pause in a listing
// cannot be distinguished from a dead connection.
const maxAnswerTimeout = 30 * time.Minute

// Settings lists all settings of a server except credentials, in display order. The
// API, command line, console, audit log and validation use it. docs/extend.md lists what
// a new setting needs.
var Settings = []Setting{
	{
		Field: "name", Group: GroupConnection, Label: "Name", Help: "Unique name; letters, digits, '-', '_' or '.'", Placeholder: "NAME", Required: true,
		pointer: func(s *Server) any { return &s.Name },
	},
	{
		Field: "host", Group: GroupConnection, Label: "Host", Help: "DNS name or IP address", Placeholder: "ADDRESS", Required: true, Reach: true,
		pointer: func(s *Server) any { return &s.Host },
	},
	{
		Field: "port", Group: GroupConnection, Label: "Port", Help: "Port number, 1 to 65535", Min: 1, Max: 65535, Reach: true,
		pointer: func(s *Server) any { return &s.Port },
	},
	{
		Field: "username", Group: GroupConnection, Label: "User", Help: "User name for the login", Placeholder: "USER", Required: true, Exact: true, Reach: true,
		pointer: func(s *Server) any { return &s.Username },
	},
	{
		Field: "host_keys", flag: "host-key", Group: GroupConnection, Label: "Pinned host keys", Placeholder: "KEY", Reach: true,
		Help:    "Host keys of the server, e.g. 'ssh-ed25519 AAAA…'. Without one, test the connection and pin the presented key.",
		pointer: func(s *Server) any { return &s.HostKeys },
	},
	{
		Field: "root_path", flag: "path", Group: GroupFiles, Label: "Root folder", Placeholder: "DIR", Exact: true, Reach: true,
		Help:    "Absolute, or ~/dir below the home folder; subfolders are included",
		pointer: func(s *Server) any { return &s.RootPath },
	},
	{
		Field: "include", Group: GroupFiles, Label: "Include", Help: "Globs relative to the root folder, e.g. **/*.csv. Empty includes all files.",
		pointer: func(s *Server) any { return &s.Include },
	},
	{
		Field: "exclude", Group: GroupFiles, Label: "Exclude", Help: "Globs of files that are not ingested. Exclude takes precedence.",
		pointer: func(s *Server) any { return &s.Exclude },
	},
	{
		Field: "scan_interval", Group: GroupSchedule, Label: "Scan interval", Default: "STEVEDORE_SCAN_INTERVAL", Min: int64(minScanInterval), Max: int64(maxWait),
		Help:    "Minimum time between scheduled scans, 1s to 168h, e.g. 1m",
		pointer: func(s *Server) any { return &s.ScanInterval },
	},
	{
		Field: "settle", Group: GroupSchedule, Label: "Settle time", Default: "STEVEDORE_SETTLE", Max: int64(24 * time.Hour),
		Help:    "Time without changes before a file is ingested, at most 24h, e.g. 10s",
		pointer: func(s *Server) any { return &s.Settle },
	},
	{
		Field: "max_parallel", Group: GroupSchedule, Label: "Concurrency", Help: "Concurrency limit: files in flight, 1 to 256", Min: 1, Max: MaxParallelLimit,
		pointer: func(s *Server) any { return &s.MaxParallel },
	},
	{
		Field: "after_ingest", Group: GroupAfterIngest, Label: "After ingest", Placeholder: "ACTION", Exact: true,
		Help:    "Action on the source file: keep, delete or move:/dir",
		pointer: func(s *Server) any { return &s.AfterIngest },
	},
	{
		Field: "on_collision", Group: GroupAfterIngest, Label: "If the target exists", Help: "Action when the target of a move exists",
		Choices: []string{string(CollisionRename), string(CollisionOverwrite), string(CollisionKeep)},
		pointer: func(s *Server) any { return &s.OnCollision },
	},
	{
		Field: "transfer", Group: GroupAdvanced, Label: "Transfer mode",
		Help:    "Auto chooses by file size; staged reads each file once but needs disk space on the worker; direct needs no disk space, but reads a file again if its check fails.",
		Choices: []string{string(TransferAuto), string(TransferStaged), string(TransferDirect)},
		pointer: func(s *Server) any { return &s.Transfer },
	},
	{
		Field: "max_depth", Group: GroupAdvanced, Label: "Folder depth", Help: "Levels of folders below the root folder, 1 to 64", Min: 1, Max: MaxDepth, Reach: true,
		pointer: func(s *Server) any { return &s.MaxDepth },
	},
	{
		Field: "min_age", Group: GroupAdvanced, Label: "Minimum age", Help: "Minimum age of a file before it is ingested; at most 168h", Max: int64(maxWait),
		pointer: func(s *Server) any { return &s.MinAge },
	},
	{
		Field: "done_marker", Group: GroupAdvanced, Label: "Done-marker", Help: "Files wait for this companion; * is the file name, e.g. *.done", Placeholder: "NAME",
		pointer: func(s *Server) any { return &s.DoneMarker },
	},
	{
		Field: "sidecar_wait", Group: GroupAdvanced, Label: "Wait for a checksum file", Max: int64(maxWait),
		Help:    "Maximum wait after the settle time; at most 168h",
		pointer: func(s *Server) any { return &s.SidecarWait },
	},
	{
		Field: "read_once", Group: GroupAdvanced, Label: "Read once", Help: "The server deletes a file when it is opened: open it once, and use staging.",
		pointer: func(s *Server) any { return &s.ReadOnce },
	},
	{
		Field: "legacy_algorithms", Group: GroupAdvanced, Label: "Legacy SSH algorithms", Help: "Also offer SHA-1 algorithms, which old servers require.", Reach: true,
		pointer: func(s *Server) any { return &s.LegacyAlgorithms },
	},
	{
		Field: "in_progress_names", Group: GroupAdvanced, Label: "Names of files in progress",
		Help:   "Globs for names of unfinished files. Empty uses the list for common clients, '-' uses none.",
		option: func(o *Options) any { return &o.InProgressNames },
	},
	{
		Field: "min_size", Group: GroupAdvanced, Label: "Minimum size", Help: "In bytes; smaller files count as in progress.", Max: maxBytes,
		option: func(o *Options) any { return &o.MinSize },
	},
	{
		Field: "companions", Group: GroupAdvanced, Label: "Done-markers and checksum files",
		Help:    "Delete or move done-markers and checksum files with their file, or leave them.",
		Choices: []string{string(CompanionsFollow), string(CompanionsStay)},
		option:  func(o *Options) any { return &o.Companions },
	},
	{
		Field: "identity", Group: GroupAdvanced, Label: "Version identity",
		Help:    "Attributes that identify a version: size and time, size alone, or size and content.",
		Choices: []string{string(IdentitySizeTime), string(IdentitySize), string(IdentitySizeHash)},
		option:  func(o *Options) any { return &o.Identity },
	},
	{
		Field: "hold_changes", Group: GroupAdvanced, Label: "Hold changes above", Min: -1, Max: 1 << 30,
		Help:   "If more known files than this look new in one listing, they are held for an operator; 0 uses the default of 100, -1 disables.",
		option: func(o *Options) any { return &o.HoldChanges },
	},
	{
		Field: "resent", Group: GroupAdvanced, Label: "Reappeared files",
		Help:    "An unchanged file that reappears after it was deleted or moved: report it, or ingest it again.",
		Choices: []string{string(ResentShow), string(ResentDeliver)},
		option:  func(o *Options) any { return &o.Resent },
	},
	{
		Field: "moved", Group: GroupAdvanced, Label: "Moved files",
		Help:    "A new file with the name, size and time of an ingested file of another path that is gone: hold it for an operator, or ingest it.",
		Choices: []string{string(MovedHold), string(MovedDeliver)},
		option:  func(o *Options) any { return &o.Moved },
	},
	{
		Field: "follow_links", Group: GroupAdvanced, Label: "Follow symbolic links", Help: "Ingest files behind links that point below the root folder.",
		option: func(o *Options) any { return &o.FollowLinks },
	},
	{
		Field: "connect_timeout", Group: GroupAdvanced, Label: "Connect timeout", Help: "Timeout of the TCP connection; 0s uses the worker's.",
		Min: int64(time.Second), Max: int64(maxAnswerTimeout), ZeroMeans: "the worker's", Reach: true,
		option: func(o *Options) any { return &o.ConnectTimeout },
	},
	{
		Field: "login_timeout", Group: GroupAdvanced, Label: "Login timeout", Help: "Timeout from the first byte to the open SFTP channel; 0s uses the worker's.",
		Min: int64(time.Second), Max: int64(maxAnswerTimeout), ZeroMeans: "the worker's", Reach: true,
		option: func(o *Options) any { return &o.LoginTimeout },
	},
	{
		Field: "answer_timeout", Group: GroupAdvanced, Label: "Response timeout", Help: "Longest time without data from the server; 0s uses the worker's.",
		Min: int64(time.Second), Max: int64(maxAnswerTimeout), ZeroMeans: "the worker's",
		option: func(o *Options) any { return &o.AnswerTimeout },
	},
	{
		Field: "max_connections", Group: GroupAdvanced, Label: "Maximum connections", Max: MaxParallelLimit, Reach: true,
		Help:   "Connections of all workers, tests and audits together; listings and transfers share them. 0 detects the server's limit.",
		option: func(o *Options) any { return &o.MaxConnections },
	},
	{
		Field: "max_reads", Group: GroupAdvanced, Label: "Maximum outstanding reads", Help: "Outstanding reads of one file. 0 detects the server's limit.", Max: 64,
		option: func(o *Options) any { return &o.MaxReads },
	},
	{
		Field: "min_rate", Group: GroupAdvanced, Label: "Minimum rate", Help: "Bytes per second; a slower transfer is deferred. 0 disables.", Max: maxBytes,
		option: func(o *Options) any { return &o.MinRate },
	},
	{
		Field: "proxy", Group: GroupAdvanced, Label: "Proxy", Help: "Address of a proxy: socks5://host:port or http://host:port.", Placeholder: "URL", Reach: true,
		option: func(o *Options) any { return &o.Proxy },
	},
	{
		Field: "jump", Group: GroupAdvanced, Label: "Jump host", Help: "Name of another configured server through which this one is reached.", Placeholder: "NAME", Reach: true,
		option: func(o *Options) any { return &o.Jump },
	},
	{
		Field: "allow_overlap", Group: GroupAdvanced, Label: "Allow overlap", Help: "Allow another server to ingest the same files; both publish notifications.",
		option: func(o *Options) any { return &o.AllowOverlap },
	},
}
