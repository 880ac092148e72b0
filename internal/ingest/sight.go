package ingest

import (
	"fmt"
	"strings"
	"time"
)

// Sight is what looks at the server tell of a file besides its size and time.
type Sight struct {
	// ShownSize and ShownTime are how listings show the version where a look at the
	// file itself shows Size and ModTime; zero when they agree.
	ShownSize int64
	ShownTime time.Time
	// Looks counts the looks in a row that showed the file changed, since
	// UnsettledSince; ClockLooks those of them in a row after which only its time was
	// another, by as much as the clock had moved.
	Looks, ClockLooks int
	UnsettledSince    time.Time
	// Hold says whether a file that is new only by its time may be taken.
	Hold Hold
	// KnownHash is the hash of the completed version of the same path and size, empty
	// if there is none; TimeShift is by how much the time has moved since.
	KnownHash string
	TimeShift time.Duration
	// Identity is the server's rule now.
	Identity Identity
	// SourceGoneAt is when the source was deleted or moved after it was taken, by
	// the database's clock; zero when it was not.
	SourceGoneAt time.Time
	// ResentAt is when the server last showed the same version again after that;
	// zero when it does not.
	ResentAt time.Time
	// Delivery counts the deliveries of the same version, see ResentDeliver; the
	// first is 0.
	Delivery int
}

// Hold is whether a file that is new only by its time may be taken.
type Hold string

// A file is unjudged until the listing that found it has come to its end, and then
// held for an operator or free. Most files are no question: the empty Hold.
const (
	HoldUnjudged Hold = "unjudged"
	HoldHeld     Hold = "held"
	HoldFree     Hold = "free"
)

// The bounds after which a file that never stays the same is given up, until it
// does.
const (
	// UnsettledLooks is how many looks in a row must show it changed, and
	// UnsettledFor how long that must have lasted; GrowingFor when it still grows.
	UnsettledLooks = 10
	UnsettledFor   = time.Hour
	GrowingFor     = 24 * time.Hour
	// ClockLooks is how many looks in a row show that its time follows the clock.
	ClockLooks = 3
	// ChangedTries is how often in a row a path is taken up and found changed while
	// it is read. From then on it is tried only when it was the same for an hour,
	// twice as long after each further try, at most a day.
	ChangedTries = 5
)

// identityAdvice is what helps where times mean nothing.
const identityAdvice = "set `--identity size` for the server if a new time alone is no new version"

// Timeless reports whether a new time alone is no new version.
func (s Sight) Timeless() bool { return s.Identity.Timeless() }

// Timeless reports whether by the rule a new time alone is no new version.
func (i Identity) Timeless() bool { return i == IdentitySize || i == IdentitySizeHash }

// Accept says why bytes with the hash may not become the file's object, nil if they
// may: see SameContent and AnnouncedHash.
func (f File) Accept(hash string) error {
	if f.AnnouncedHash != "" && f.AnnouncedHash != hash {
		return Errorf(KindHashMismatch, "%s has other content than was announced before, SHA-256 %s instead of %s, under the same size and time: "+
			"ask the partner for the file as it was, or to send the new content with another time; then skip this one",
			DisplayPath(f.RemotePath), hash, f.AnnouncedHash)
	}
	return f.SameContent(hash)
}

// SameContent says that the bytes with the hash are those that were taken before,
// where the server's rule is that this is no new version; nil when they are not.
func (f File) SameContent(hash string) error {
	if f.Identity != IdentitySizeHash || f.KnownHash == "" || f.KnownHash != hash {
		return nil
	}
	return Errorf(KindSameContent, "%s has a new time and the content that was taken before: it is no new version", DisplayPath(f.RemotePath))
}

// Waiting is what the file waits for besides time; empty when nothing is known.
func (s Sight) Waiting() string {
	switch {
	case s.Hold == HoldHeld:
		return "an operator's decision: it looks new only because its time moved by " + ShiftText(s.TimeShift) +
			"; see `stevedore server changes`"
	case s.ClockLooks >= ClockLooks:
		return "a time that stays: the server shows the present moment at each look; " + identityAdvice
	case s.Looks >= UnsettledLooks:
		return fmt.Sprintf("a size and time that stay: it was another at each of %d looks since %s", s.Looks, s.UnsettledSince.UTC().Format(time.RFC3339))
	}
	return ""
}

// Unsettled says why a file is given up that was seen so.
func (s Sight) Unsettled() string {
	why := "its size or time was another each time"
	if s.ClockLooks >= ClockLooks {
		why = "the server shows the present moment as its time; " + identityAdvice
	}
	return fmt.Sprintf("it changed at each of %d looks since %s: %s. It is taken as soon as it stays the same",
		s.Looks, s.UnsettledSince.UTC().Format(time.RFC3339), why)
}

// AlwaysChanged says why a path is given up that was taken up so often; last is what
// was found the last time, may be empty.
func AlwaysChanged(tries int, last string) string {
	if last != "" {
		last = " (the last time: " + last + ")"
	}
	return fmt.Sprintf("it was taken up %d times and each time found changed while it was read, or its bytes did not agree with its size%s: "+
		"ask the partner, or, where reading changes the time, %s", tries, last, identityAdvice)
}

// farFuture is more than clocks differ.
const farFuture = 24 * time.Hour

// SightNotes says what is odd about a file as the server shows it, each a sentence.
func (f File) SightNotes(now time.Time) (notes []string) {
	if f.ModTime.Unix() == 0 {
		notes = append(notes, "the server gives no modification time: a replacement of the same size cannot be noticed")
	}
	if f.ModTime.After(now.Add(farFuture)) {
		notes = append(notes, "its modification time is in the future: the server's clock or the file's time is wrong")
	}
	if !f.ShownTime.IsZero() {
		notes = append(notes, fmt.Sprintf("listings show %d bytes of %s, a look at the file itself %d bytes of %s: that is what counts",
			f.ShownSize, f.ShownTime.UTC().Format(time.RFC3339), f.Size, f.ModTime.UTC().Format(time.RFC3339)))
	}
	if !f.ResentAt.IsZero() {
		notes = append(notes, fmt.Sprintf("it was deleted or moved on the server on %s, and the server shows the same size and time again since: "+
			"it is not taken again; remove it there, or set `--resent deliver`", f.SourceGoneAt.UTC().Format(time.RFC3339)))
	}
	if f.Status == StatusSuperseded && f.ErrorKind == KindChanged {
		notes = append(notes, fmt.Sprintf("it was found changed while it was read, or its bytes did not agree with its size: if the server shows it so again, "+
			"listings take it up again, and after %d times it is an error", ChangedTries))
	}
	if f.Delivery > 0 {
		notes = append(notes, fmt.Sprintf("it is delivery %d of the same size and time: the ones before were deleted or moved on the server", f.Delivery+1))
	}
	return notes
}

// ShiftText writes by how much times moved: "exactly 1h0m0s" or "-5s".
func ShiftText(d time.Duration) string {
	if d%(15*time.Minute) == 0 && d != 0 {
		return "exactly " + d.String()
	}
	return d.String()
}

// HeldChanges are the files of one server that wait for an operator because they
// look new only by their times.
type HeldChanges struct {
	ServerUUID string
	Files      int64
	// Parts are what is decided about by itself, the largest first.
	Parts []HeldPart
	// Since is when the first of them was seen; Example is the path of one.
	Since   time.Time
	Example string
}

// String says what is held, and asks for the decision.
func (h HeldChanges) String() string {
	if h.Files == 0 {
		return ""
	}
	if len(h.Parts) == 1 {
		return fmt.Sprintf("%s moved by %s while the size is the same: held until somebody decides to take what is new or not",
			Counted(h.Files, "known file looks new because its time", "known files look new because their times"), h.Parts[0].by())
	}
	var parts []string
	for i, p := range h.Parts {
		if i == shownParts {
			parts = append(parts, fmt.Sprintf("and %d more shifts", len(h.Parts)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%d moved by %s", p.Files, p.by()))
	}
	return fmt.Sprintf("%s new because of their times, while their sizes are the same: %s. They are held until somebody decides about each of these",
		Counted(h.Files, "known file looks", "known files look"), strings.Join(parts, ", "))
}

// The parts of held changes.
const (
	// FewMoved is how many files at least must have moved by the same to be a part of
	// their own, or to look like a clock.
	FewMoved = 3
	// PartOthers names the files that moved by what few others did, PartAll all parts.
	PartOthers = "others"
	PartAll    = "all"

	shownParts = 10
)

// HeldPart are held files whose times moved by the same, or those of which few did.
type HeldPart struct {
	Shift  time.Duration
	Others bool
	Files  int64
	// Examples are the first few of the others.
	Examples []HeldFile
}

// HeldFile is a held file and by how much its time moved.
type HeldFile struct {
	Path  string
	Shift time.Duration
}

// Name is how a decision names the part, see ParsePart.
func (p HeldPart) Name() string {
	if p.Others {
		return PartOthers
	}
	return p.Shift.String()
}

// by says by how much the times moved.
func (p HeldPart) by() string {
	if !p.Others {
		return ShiftText(p.Shift)
	}
	var some []string
	for _, f := range p.Examples {
		some = append(some, DisplayPath(f.Path)+" by "+ShiftText(f.Shift))
	}
	if int64(len(some)) < p.Files {
		some = append(some, "...")
	}
	return "something else each (" + strings.Join(some, ", ") + ")"
}

// ParsePart reads what a decision about held changes is about: PartAll, PartOthers, or
// by how much the times moved, as "1h" or "-1h0m0s". Empty is the only part there is.
func ParsePart(name string) (shift time.Duration, err error) {
	switch name {
	case "", PartAll, PartOthers:
		return 0, nil
	}
	if shift, err = time.ParseDuration(name); err != nil || shift%time.Second != 0 {
		return 0, Errorf(KindInvalid, "part %q: use a time by which files moved, such as 1h or -1h, or %s or %s", name, PartOthers, PartAll)
	}
	return shift, nil
}

// ChangesDecision is what an operator decides about held changes.
type ChangesDecision string

// Held changes are taken as new versions, or are the same versions with other times.
const (
	ChangesTake ChangesDecision = "take"
	ChangesSame ChangesDecision = "same"
)

// Listed is how a listing went that came to its end.
type Listed struct {
	// Seen is how many entries it showed, Took how long it lasted.
	Seen int64
	Took time.Duration
	// Same is how many of them show a version that was taken, as it was.
	Same int64
	// Whole says that every folder could be read.
	Whole bool
	// NoTime and Future count the files without a time and those of the far future.
	NoTime, Future int64
	// Unmatched is what the globs leave out.
	Unmatched Unmatched
}

// Attention is what of a server waits for a person, besides files in error.
type Attention struct {
	Held HeldChanges
	// Resent counts files that are on the server again, the same as before, after
	// they were taken and deleted or moved.
	Resent int64
	// HeldReason says what is held, one line; empty when nothing is.
	HeldReason string
	// Note is what the latest listing noticed, one line.
	Note string
	// PutOff says how many files could not be fetched and wait for their next try, and
	// why one of them does, as one line; empty where none does.
	PutOff string
}
