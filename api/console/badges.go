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
	ingest.HealthPaused:     {"paused", "⏸", ingest.HealthPaused.Label()},
	ingest.HealthSuspended:  {"bad", "✕", ingest.HealthSuspended.Label()},
	ingest.HealthUnpinned:   {"warn", "?", ingest.HealthUnpinned.Label()},
	ingest.HealthOverdue:    {"warn", "!", ingest.HealthOverdue.Label()},
	ingest.HealthScanFailed: {"warn", "!", ingest.HealthScanFailed.Label()},
	ingest.HealthUnread:     {"warn", "!", ingest.HealthUnread.Label()},
	ingest.HealthHeld:       {"warn", "!", ingest.HealthHeld.Label()},
	ingest.HealthResent:     {"warn", "!", ingest.HealthResent.Label()},
	ingest.HealthLeft:       {"warn", "!", ingest.HealthLeft.Label()},
	ingest.HealthNotScanned: {"idle", "○", ingest.HealthNotScanned.Label()},
	ingest.HealthOK:         {"good", "✓", ingest.HealthOK.Label()},

	openapi.ListingRunning:    {"idle", "○", "running"},
	openapi.ListingCompleted:  {"good", "✓", "completed"},
	openapi.ListingIncomplete: {"warn", "!", "incomplete"},
	openapi.ListingFailed:     {"bad", "✕", "failed"},

	ingest.AuditRunning:   {"idle", "…", "running"},
	ingest.AuditFailed:    {"bad", "✕", "failed"},
	ingest.AuditCompleted: {"good", "✓", "completed, no discrepancies"},
	auditDiffers:          {"warn", "!", "completed, with discrepancies"},

	ingest.AuditMissing: {"warn", "-", "missing"},
	ingest.AuditExtra:   {"warn", "+", "extra"},
	ingest.AuditWrong:   {"warn", "!", "differs"},

	ingest.AuditNotAudited: {"warn", "?", "not audited"},

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
