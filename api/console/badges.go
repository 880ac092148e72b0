package console

import (
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// badge is a state as a symbol and a word; class colors it.
type badge struct{ class, sign, word string }

// badges are the badges of the states of servers, scans, audits, tokens and actions. The
// types of the keys distinguish equal words.
var badges = map[any]badge{
	ingest.HealthPaused:     {"paused", "⏸", "paused"},
	ingest.HealthSuspended:  {"bad", "✕", "suspended"},
	ingest.HealthUnpinned:   {"warn", "?", "host key not approved"},
	ingest.HealthOverdue:    {"warn", "!", "scan overdue"},
	ingest.HealthScanFailed: {"warn", "!", "scan failed"},
	ingest.HealthUnread:     {"warn", "!", "unreadable folders"},
	ingest.HealthHeld:       {"warn", "!", "changes held"},
	ingest.HealthResent:     {"warn", "!", "files reappeared"},
	ingest.HealthLeft:       {"warn", "!", "sources not removed"},
	ingest.HealthNotScanned: {"idle", "○", "not scanned yet"},
	ingest.HealthOK:         {"good", "✓", "healthy"},

	openapi.ListingRunning:    {"idle", "○", "running"},
	openapi.ListingCompleted:  {"good", "✓", "complete"},
	openapi.ListingIncomplete: {"warn", "!", "incomplete"},
	openapi.ListingFailed:     {"bad", "✕", "failed"},

	ingest.AuditRunning:   {"idle", "…", "running"},
	ingest.AuditFailed:    {"bad", "✕", "failed"},
	ingest.AuditCompleted: {"good", "✓", "completed, no discrepancies"},
	auditDiffers:          {"warn", "!", "completed, with discrepancies"},

	ingest.AuditMissing: {"warn", "-", "missing"},
	ingest.AuditExtra:   {"warn", "+", "extra"},
	ingest.AuditWrong:   {"warn", "!", "differs"},

	ingest.SideSame:    {"good", "=", "present"},
	ingest.SideMissing: {"bad", "−", "missing"},
	ingest.SideExtra:   {"warn", "+", "extra"},
	ingest.SideWrong:   {"warn", "!", "differs"},
	ingest.SideUnknown: {"idle", "?", "not compared"},

	openapi.TokenValid:   {"good", "✓", "valid"},
	openapi.TokenExpired: {"idle", "–", "expired"},
	openapi.TokenRevoked: {"idle", "⊘", "revoked"},

	ingest.ActionDone:    {"good", "✓", "done"},
	ingest.ActionFailed:  {"bad", "✕", "failed"},
	ingest.ActionUnknown: {"idle", "?", "unknown"},
}
