package ingest

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Omission is the reason why a listing does not include an entry, or not yet. The zero value
// means that the entry is included.
type Omission struct {
	Reason OmissionReason
	// Detail depends on the reason; empty if it has none.
	Detail string
}

// OmissionReason is a kind of omission.
type OmissionReason string

// The reasons, and their details.
const (
	// OmitExcluded: an exclude glob matches; the glob.
	OmitExcluded OmissionReason = "excluded"
	// OmitNotIncluded: no include glob matches, or can match below a folder.
	OmitNotIncluded OmissionReason = "not_included"
	// OmitInProgress: the name is that of a file or folder in progress; the glob.
	OmitInProgress OmissionReason = "in_progress"
	// OmitCompanion: a done-marker or checksum file.
	OmitCompanion OmissionReason = "companion"
	// OmitRejected: an unsafe name or no regular file; the cause, "is a symbolic link".
	OmitRejected OmissionReason = "rejected"
	// OmitWaiting: Observation.WaitsFor; the condition.
	OmitWaiting OmissionReason = "waiting"
	// OmitTooYoung: the file is younger than the minimum age; that age.
	OmitTooYoung OmissionReason = "too_young"
	// OmitMoveTarget: the target folder of the after-ingest move.
	OmitMoveTarget OmissionReason = "move_target"
	// OmitTooDeep: a folder beyond the configured depth; the depth.
	OmitTooDeep OmissionReason = "too_deep"
)

var omissionTexts = map[OmissionReason]string{
	OmitExcluded:    "excluded by %s",
	OmitNotIncluded: "matches no include pattern",
	OmitInProgress:  "name of a file in progress, %s",
	OmitCompanion:   "done-marker or checksum file",
	OmitRejected:    "rejected: %s",
	OmitWaiting:     "waits for %s",
	OmitTooYoung:    "younger than the minimum age of %s",
	OmitMoveTarget:  "target folder of the after-ingest move",
	OmitTooDeep:     "beyond the folder depth of %s",
}

// OmissionReasons lists all reasons.
var OmissionReasons = slices.Sorted(maps.Keys(omissionTexts))

// Format returns the format of the reason's text, with one verb if it has a detail.
func (r OmissionReason) Format() string { return omissionTexts[r] }

// String returns the omission as text, safe to display.
func (o Omission) String() string {
	if o.Detail == "" {
		return o.Reason.Format()
	}
	return fmt.Sprintf(o.Reason.Format(), DisplayPath(o.Detail))
}

// Omission returns the reason why the file of the observation is not ingested yet at the
// time. It repeats the rule of the ledger about the minimum age, which applies to files
// that were listed before.
func (o Observation) Omission(s Server, now time.Time) Omission {
	switch {
	case o.WaitsFor != "":
		return Omission{OmitWaiting, o.WaitsFor}
	case o.ModTime.After(now.Add(-s.MinAge)) && s.MinAge > 0:
		return Omission{OmitTooYoung, s.MinAge.String()}
	}
	return Omission{}
}
