package ingest

import (
	"fmt"
	"time"
)

// SourceState describes how listings and stats of the server have shown a file over time.
type SourceState struct {
	// ShownSize and ShownTime are the attributes in listings if they differ from Size and
	// ModTime, the attributes of a stat of the file; else zero.
	ShownSize int64
	ShownTime time.Time
	// Changes counts consecutive observations that showed the file changed, since
	// UnsettledSince. ClockChanges counts the latest of them in which only the time
	// changed, by as much as the clock advanced.
	Changes, ClockChanges int
	UnsettledSince        time.Time
	// Hold is the state of the decision about a file that is new only by its time or path.
	Hold Hold
	// KnownHash is the hash of the completed version of the same path and size; empty
	// for none. TimeShift is the difference of the modification times since then.
	KnownHash string
	TimeShift time.Duration
	// MovedFrom is the path of the ingested file that was probably moved to this path,
	// while Hold is HoldUnjudged or HoldHeld; empty for none.
	MovedFrom string
	// Identity is the server's current rule.
	Identity Identity
	// SourceGoneAt is the time when the ingested file's source was deleted or moved, by the
	// database's clock; zero if it was not.
	SourceGoneAt time.Time
	// ResentAt is the time when the server last showed the same version again after
	// SourceGoneAt; zero if it did not.
	ResentAt time.Time
	// Delivery numbers the deliveries of the same version from 0, see ResentDeliver.
	Delivery int
}

// Hold is the state of the decision about a file that is new only by its time or
// path. It is empty for other files.
type Hold string

// The states: HoldUnjudged until the listing that found the file is complete, or
// until a moved file is checked, then HoldHeld until an operator decides, or HoldFree.
const (
	HoldUnjudged Hold = "unjudged"
	HoldHeld     Hold = "held"
	HoldFree     Hold = "free"
)

// The limits after which a file that keeps changing fails. It is ingested once it
// settles.
const (
	// UnsettledChanges is the number of consecutive observations with a change, and
	// UnsettledFor their minimum duration. GrowingFor is the duration for a file that
	// grows.
	UnsettledChanges = 10
	UnsettledFor     = time.Hour
	GrowingFor       = 24 * time.Hour
	// ClockChanges is the number of consecutive observations that prove that a file's
	// time follows the clock.
	ClockChanges = 3
	// MaxFailedReads is the number of consecutive attempts in which a path changed
	// during the read. After them it is retried only when unchanged for an hour,
	// doubled with each further attempt, at most a day.
	MaxFailedReads = 5
)

// identityAdvice is the remedy for servers with meaningless times.
const identityAdvice = "set `--identity size` for the server if a new time alone does not make a new version"

// Timeless reports whether a new time alone makes no new version.
func (s SourceState) Timeless() bool { return s.Identity.Timeless() }

// Timeless reports whether a new time alone makes no new version.
func (i Identity) Timeless() bool { return i == IdentitySize || i == IdentitySizeHash }

// Accept returns an error if content with the hash must not become the file's
// object, see SameContent and NotifiedHash.
func (f File) Accept(hash string) error {
	if f.NotifiedHash != "" && f.NotifiedHash != hash {
		return Errorf(KindHashMismatch, "%s differs from the content of its published notification, SHA-256 %s instead of %s, at the same size and time: "+
			"ask the partner for the original file, or for the new content with another time; then skip this one",
			DisplayPath(f.RemotePath), hash, f.NotifiedHash)
	}
	return f.SameContent(hash)
}

// SameContent returns an error if content with the hash was ingested before and so
// makes no new version under IdentitySizeHash.
func (f File) SameContent(hash string) error {
	if f.Identity != IdentitySizeHash || f.KnownHash == "" || f.KnownHash != hash {
		return nil
	}
	return Errorf(KindSameContent, "%s has a new time but the content of an ingested version: it is not a new version", DisplayPath(f.RemotePath))
}

// Waiting returns the condition, besides the settle time, that the file waits for;
// empty for none.
func (s SourceState) Waiting() string {
	switch {
	case s.Hold == HoldHeld && s.MovedFrom != "":
		return "an operator's decision: it was probably moved from " + s.MovedFrom + ", which was ingested; see `stevedore server changes`"
	case s.Hold == HoldUnjudged && s.MovedFrom != "":
		return "a check whether it was moved from " + s.MovedFrom
	case s.Hold == HoldHeld:
		return "an operator's decision: only its time is new, shifted by " + shiftText(s.TimeShift) +
			"; see `stevedore server changes`"
	case s.ClockChanges >= ClockChanges:
		return "a stable time: the server reports the current time at each observation; " + identityAdvice
	case s.Changes >= UnsettledChanges:
		return fmt.Sprintf("a stable size and time: they changed at each of %d observations since %s", s.Changes, s.UnsettledSince.UTC().Format(time.RFC3339))
	}
	return ""
}

// Unsettled returns the message for a file that fails because it keeps changing.
func (s SourceState) Unsettled() string {
	why := "its size or time differed"
	if s.ClockChanges >= ClockChanges {
		why = "the server reports the current time as its time; " + identityAdvice
	}
	return fmt.Sprintf("it changed at each of %d observations since %s: %s. It is ingested as soon as it settles",
		s.Changes, s.UnsettledSince.UTC().Format(time.RFC3339), why)
}

// ListedButMissing returns the message for a file that fails because listings show it
// although the server reported tries times that it does not exist.
func ListedButMissing(tries int) string {
	return fmt.Sprintf("listings show it, but the server reported %d times that it does not exist: its name may be encoded differently, "+
		"or end in a space or dot, so that the server cannot open it; ask the partner to rename it. It is retried with growing delays", tries)
}

// AlwaysChanged returns the message for a file that fails because it changed
// during each of the attempts to read it. last is the message of the last attempt;
// may be empty.
func AlwaysChanged(tries int, last string) string {
	if last != "" {
		last = " (last attempt: " + last + ")"
	}
	return fmt.Sprintf("it changed during each of %d attempts to read it, or its bytes did not match its size%s: "+
		"ask the partner, or, if reading changes the time, %s", tries, last, identityAdvice)
}

// shiftText formats a time shift: "exactly 1h0m0s" for multiples of a quarter of
// an hour, or "-5s".
func shiftText(d time.Duration) string {
	if d%(15*time.Minute) == 0 && d != 0 {
		return "exactly " + d.String()
	}
	return d.String()
}

// Listed is the result of a successful listing.
type Listed struct {
	// Seen is the number of entries; Took is the duration.
	Seen int64
	Took time.Duration
	// Same is the number of entries that are unchanged ingested versions.
	Same int64
	// Whole reports whether every folder could be read.
	Whole bool
	// NoTime counts files without a modification time, Future files with one more than
	// a day ahead.
	NoTime, Future int64
	// Unmatched summarizes entries excluded by the globs.
	Unmatched Unmatched
}

// Attention lists what needs an operator on a server, in addition to failed files.
type Attention struct {
	Held HeldChanges
	// Resent counts unchanged files that reappeared after they were ingested and
	// deleted or moved.
	Resent int64
	// HeldReason is the text of Held; empty when no file is held.
	HeldReason string
	// LastScan has the note and the counts of the latest complete listing that Notes uses.
	LastScan Scan
	// Deferred is a line with the number of deferred files and the reason of one of
	// them; empty for none.
	Deferred string
}
