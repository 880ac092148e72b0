package main

import (
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// sidesResult is what each place has as JSON.
type sidesResult struct {
	Source       sideResult `json:"source"`
	Ledger       sideResult `json:"ledger"`
	Object       sideResult `json:"object"`
	Announcement sideResult `json:"announcement"`
}

// sideResult is one place; what is not known is null.
type sideResult struct {
	State      string     `json:"state"`
	Status     *string    `json:"status"`
	Size       *int64     `json:"size"`
	SHA256     *string    `json:"sha256"`
	ModifiedAt *time.Time `json:"modified_at"`
	Count      *int64     `json:"count"`
}

func newSidesResult(s ingest.AuditSides) sidesResult {
	return sidesResult{
		Source: newSideResult(s.Source), Ledger: newSideResult(s.Ledger), Object: newSideResult(s.Object), Announcement: newSideResult(s.Announcement),
	}
}

func newSideResult(s ingest.AuditSide) sideResult {
	r := sideResult{State: s.State.Word(), Size: s.Size}
	if status := string(s.Status); status != "" {
		r.Status = &status
	}
	if s.SHA256 != "" {
		r.SHA256 = &s.SHA256
	}
	if !s.ModTime.IsZero() {
		r.ModifiedAt = &s.ModTime
	}
	if s.Count > 0 {
		r.Count = &s.Count
	}
	return r
}

// sidesText is the end of a difference's line: the places that were looked at,
// each with its sign; empty when there is none.
func sidesText(s ingest.AuditSides) string {
	var seen []string
	for _, side := range []struct {
		name  string
		state ingest.SideState
	}{{"source", s.Source.State}, {"ledger", s.Ledger.State}, {"object", s.Object.State}, {"announcement", s.Announcement.State}} {
		if side.state != ingest.SideUnknown {
			seen = append(seen, side.name+" "+side.state.Sign())
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return "  [" + strings.Join(seen, ", ") + "]"
}
