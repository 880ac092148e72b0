package main

import (
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// sidesText returns the places that were compared, each with its sign; empty when none
// was.
func sidesText(s openapi.AuditSides) string {
	var seen []string
	for _, side := range []struct {
		name  string
		state openapi.AuditSideState
	}{{"source", s.Source.State}, {"ledger", s.Ledger.State}, {"object", s.Object.State}, {"announcement", s.Announcement.State}} {
		if side.state != openapi.SideUnknown {
			seen = append(seen, side.name+" "+ingest.SideState(side.state).Sign())
		}
	}
	if len(seen) == 0 {
		return ""
	}
	return "  [" + strings.Join(seen, ", ") + "]"
}
