package ingest

import "fmt"

// Mode is how the bytes of a file travel from its server into the object store.
type Mode string

// The transfer modes.
const (
	// ModeMemory: a small file is read whole, checked, stored by one request and
	// announced at once. Nothing is written to a local disk.
	ModeMemory Mode = "memory"
	// ModeStaged: the bytes are brought into a worker's staging folder, verified
	// there and uploaded. It needs room on the staging volume, and needs the source
	// only once.
	ModeStaged Mode = "staged"
	// ModeDirect: the bytes go from the server straight into the parts of a
	// multipart upload. The progress is in the ledger, so that any worker can go on.
	ModeDirect Mode = "direct"
)

// Modes lists every mode.
var Modes = []Mode{ModeMemory, ModeStaged, ModeDirect}

// TempPath is what the event "downloaded" says about where the bytes are: the
// path of the staged file, or the mode where there is no file.
func (m Mode) TempPath(staged string) string {
	if m == ModeStaged {
		return staged
	}
	return string(m) + ":"
}

// TransferSetting is a server's choice of mode.
type TransferSetting string

// The settings of a server.
const (
	// TransferAuto takes memory for small files, direct for very large ones and
	// where staging has no room, and staged for all others.
	TransferAuto TransferSetting = "auto"
	// TransferStaged takes staged for every file.
	TransferStaged TransferSetting = "staged"
	// TransferDirect takes direct for every file that is not small.
	TransferDirect TransferSetting = "direct"
)

// Validate says what is wrong with the setting, if anything.
func (t TransferSetting) Validate() error {
	switch t {
	case TransferAuto, TransferStaged, TransferDirect:
		return nil
	default:
		return fmt.Errorf("transfer %q: use auto, staged or direct", t)
	}
}

// ModeLimits are the sizes, in bytes, that decide about the mode of a file.
type ModeLimits struct {
	// Memory is the largest file that is moved in memory; 0 switches the mode off.
	Memory int64
	// Direct is the size above which auto takes direct.
	Direct int64
}

// ModeFor chooses the mode of a file of the size in bytes. A read-once server
// gives its bytes away when they are read: they are staged, so that a failure
// after that does not lose them.
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

// MayGoDirect reports whether a file that finds no room in staging may be moved
// directly instead.
func (s Server) MayGoDirect() bool { return !s.ReadOnce && s.Transfer != TransferStaged }
