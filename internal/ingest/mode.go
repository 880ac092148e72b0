package ingest

// Mode is the transfer mode: the path of a file's bytes from the server to the
// object store.
type Mode string

// The transfer modes.
const (
	// ModeMemory reads a small file into memory, verifies it and stores it by one
	// request. It does not write to local disk.
	ModeMemory Mode = "memory"
	// ModeStaged copies the file to a worker's staging folder, verifies it there and
	// uploads it. It needs space on the staging volume and reads the source only once.
	ModeStaged Mode = "staged"
	// ModeDirect streams the file from the server into the parts of a multipart
	// upload. Its checkpoint is in the ledger, so that any worker can resume it.
	ModeDirect Mode = "direct"
)

// Modes lists all transfer modes.
var Modes = []Mode{ModeMemory, ModeStaged, ModeDirect}

// TempPath returns "temp_path" of the event "downloaded": the path of the staged
// file, or the mode followed by ':' where there is none.
func (m Mode) TempPath(staged string) string {
	if m == ModeStaged {
		return staged
	}
	return string(m) + ":"
}

// TransferSetting is a server's rule for choosing the transfer mode.
type TransferSetting string

// The settings of Server.Transfer.
const (
	// TransferAuto selects memory for small files, direct for very large ones and
	// where staging is full, and staged for all others.
	TransferAuto TransferSetting = "auto"
	// TransferStaged selects staged for every file.
	TransferStaged TransferSetting = "staged"
	// TransferDirect selects memory for small files and direct for all others.
	TransferDirect TransferSetting = "direct"
)

// ModeLimits are the size limits, in bytes, of the transfer modes.
type ModeLimits struct {
	// Memory is the largest size for ModeMemory; 0 leaves the mode to empty files.
	Memory int64
	// Direct is the size above which TransferAuto selects ModeDirect.
	Direct int64
}

// ModeFor returns the mode for a file of the size in bytes. Files of a read-once
// server are staged, so that a later failure does not lose bytes that cannot be
// re-read.
func (s Server) ModeFor(size int64, limits ModeLimits) Mode {
	switch {
	case s.ReadOnce || s.Transfer == TransferStaged:
		return ModeStaged
	case size <= limits.Memory:
		return ModeMemory
	case s.Transfer == TransferDirect || size > limits.Direct:
		return ModeDirect
	default:
		return ModeStaged
	}
}

// MayGoDirect reports whether a file may be moved directly when staging is full.
func (s Server) MayGoDirect() bool { return !s.ReadOnce && s.Transfer != TransferStaged }
