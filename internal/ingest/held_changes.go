package ingest

import (
	"fmt"
	"strings"
	"time"
)

// HeldChanges summarizes the files of one server that are held for an operator
// because only their times or paths are new.
type HeldChanges struct {
	ServerUUID string
	Files      int64
	// Parts are the groups of files to decide about, largest first.
	Parts []HeldPart
	// Since is the time when the first of the files was seen; Example is the path of one.
	Since   time.Time
	Example string
}

// String returns the summary as one line; empty when no file is held.
func (h HeldChanges) String() string {
	if h.Files == 0 {
		return ""
	}
	if len(h.Parts) == 1 && h.Parts[0].Moved {
		return fmt.Sprintf("%s the name, size and time of ingested files that are gone (%s); held until an operator decides",
			Counted(h.Files, "new file has", "new files have"), h.Parts[0].moves())
	}
	if len(h.Parts) == 1 {
		return fmt.Sprintf("%s shifted by %s, with unchanged sizes; held until an operator decides",
			Counted(h.Files, "known file looks new because its time", "known files look new because their times"), h.Parts[0].by())
	}
	why, parts := "times", []string(nil)
	for i, p := range h.Parts {
		if i == shownParts {
			parts = append(parts, fmt.Sprintf("and %d more groups", len(h.Parts)-i))
			break
		}
		if p.Moved {
			why = "times or paths"
			parts = append(parts, fmt.Sprintf("%d gone from other paths (%s)", p.Files, p.moves()))
			continue
		}
		parts = append(parts, fmt.Sprintf("%d shifted by %s", p.Files, p.by()))
	}
	return fmt.Sprintf("%s new because of their %s, with unchanged sizes: %s; held until an operator decides about each group",
		Counted(h.Files, "known file looks", "known files look"), why, strings.Join(parts, ", "))
}

// The parts of held changes.
const (
	// MinShifted is the minimum number of files with one time shift that are listed as a
	// separate group, or that look like a clock change.
	MinShifted = 3
	// PartOthers is the part of the files with rare shifts, PartMoved that of moved files.
	// PartAll stands for all parts.
	PartOthers = "others"
	PartMoved  = "moved"
	PartAll    = "all"

	shownParts = 10
)

// HeldPart is a group of held files: with the same shift, with rare shifts, or moved.
type HeldPart struct {
	Shift  time.Duration
	Others bool
	Moved  bool
	Files  int64
	// Examples are the first few files of the parts with rare shifts and of moved files.
	Examples []HeldFile
}

// HeldFile is a held file with its time shift or, if it was moved, its old path.
type HeldFile struct {
	Path  string
	Shift time.Duration
	From  string
}

// Name returns the name of the part in a decision, see ParsePart.
func (p HeldPart) Name() string {
	switch {
	case p.Others:
		return PartOthers
	case p.Moved:
		return PartMoved
	}
	return p.Shift.String()
}

// by describes the time shift of the part.
func (p HeldPart) by() string {
	if !p.Others {
		return shiftText(p.Shift)
	}
	var some []string
	for _, f := range p.Examples {
		some = append(some, DisplayPath(f.Path)+" by "+shiftText(f.Shift))
	}
	return "different amounts (" + p.examples(some) + ")"
}

// moves lists examples of moved files as "old -> new".
func (p HeldPart) moves() string {
	var some []string
	for _, f := range p.Examples {
		some = append(some, DisplayPath(f.From)+" -> "+DisplayPath(f.Path))
	}
	return p.examples(some)
}

// examples joins the examples, with dots if there are more files.
func (p HeldPart) examples(some []string) string {
	if int64(len(some)) < p.Files {
		some = append(some, "...")
	}
	return strings.Join(some, ", ")
}

// SuspectedMove is a new file with the name, size and time of a file of another path
// that was ingested or is in flight.
type SuspectedMove struct {
	FileID int64
	Path   string
	// OldID and OldPath identify the other file. They are empty if it ended without
	// being ingested. Of several such files each is a SuspectedMove.
	OldID   int64
	OldPath string
	Size    int64
	ModTime time.Time
}

// ParsePart parses the name of a part: PartAll, PartOthers, PartMoved, or a time shift such
// as "1h" or "-1h0m0s". The empty name stands for the only part.
func ParsePart(name string) (shift time.Duration, err error) {
	switch name {
	case "", PartAll, PartOthers, PartMoved:
		return 0, nil
	}
	if shift, err = time.ParseDuration(name); err != nil || shift%time.Second != 0 {
		return 0, Errorf(KindInvalid, "part %q: use a time shift such as 1h or -1h, or %s, %s or %s", name, PartOthers, PartMoved, PartAll)
	}
	return shift, nil
}

// ChangesDecision is an operator's decision about held changes.
type ChangesDecision string

// The decisions: ChangesTake ingests the files as new versions, ChangesSame
// records their new times or paths for the known versions.
const (
	ChangesTake ChangesDecision = "take"
	ChangesSame ChangesDecision = "same"
)
