package ingest

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Role is a set of permissions in the API. Each role includes the permissions of
// the weaker ones.
type Role string

// The roles, weakest first.
const (
	// RoleViewer may read everything but the audit log.
	RoleViewer Role = "viewer"
	// RoleOperator may also act on files, start scans, and test and pause servers.
	RoleOperator Role = "operator"
	// RoleAdmin may also change servers and tokens, and read the audit log.
	RoleAdmin Role = "admin"
)

// Roles lists all roles, weakest first.
var Roles = []Role{RoleViewer, RoleOperator, RoleAdmin}

// Allows reports whether r includes the permissions of needed. An unknown role
// allows nothing.
func (r Role) Allows(needed Role) bool {
	has, needs := slices.Index(Roles, r), slices.Index(Roles, needed)
	return has >= 0 && needs >= 0 && has >= needs
}

// ParseRole returns the role named text. Its error lists the valid names.
func ParseRole(text string) (Role, error) {
	if r := Role(text); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q: use viewer, operator or admin", text)
}

// Principal is the authenticated caller of an API request.
type Principal struct {
	Name string
	Role Role
	// TokenID distinguishes successive tokens of the same name; empty for a principal
	// without a token.
	TokenID string
}

// TokenID returns the token's public id, which is derived from the SHA-256 digest
// of its secret.
func TokenID(digest [32]byte) string { return hex.EncodeToString(digest[:8]) }

// BootstrapToken is the name of the token in the configuration. It is reserved.
const BootstrapToken = "bootstrap"

// Token is a bearer token of the API without its secret.
type Token struct {
	Name string
	Role Role
	// ExpiresAt is zero for a token that is valid until revoked.
	ExpiresAt time.Time
	// RevokedAt is zero while the token is valid. LastUsedAt is zero for an unused
	// token, and accurate to about a minute.
	RevokedAt  time.Time
	LastUsedAt time.Time
	CreatedAt  time.Time
	// CreatedBy is the name of the principal that created the token.
	CreatedBy string
}

// AuditEntry is a row of the audit log: a change requested by a principal.
type AuditEntry struct {
	ID int64
	// Key is a uuid. A second write with the same key is ignored.
	Key string
	At  time.Time
	// Actor is the name of the principal, Role its role at that time.
	Actor string
	Role  Role
	// Action is the requested change, e.g. "server.pause"; Target is its object, e.g.
	// the server's name.
	Action string
	Target string
	// Details depend on the action; they never contain secrets.
	Details map[string]any
	// Outcome is unknown while the action runs, and afterwards if its process crashed.
	// Error is the reason of a failed action.
	Outcome ActionOutcome
	Error   string
}

// AuditActions lists the actions of audit entries. Those on files are "file." and an Action.
var AuditActions = []string{
	"server.create", "server.edit", "server.pause", "server.resume", "server.test_resumes", "server.approve_host_key", "server.changes", "server.remove",
	"scan.start", "file.retry", "file.skip", "file.renotify", "file.reprocess", "audit.start",
	"token.create", "token.revoke", "console.log_in", "key.rotate",
}

// ActionOutcome is the result of an action in the audit log.
type ActionOutcome string

// The outcomes of actions.
const (
	ActionDone    ActionOutcome = "done"
	ActionFailed  ActionOutcome = "failed"
	ActionUnknown ActionOutcome = "unknown"
)

// AuditFilter selects entries of the audit log. Zero values select all.
type AuditFilter struct {
	Actor, Action, Target string
	// From is the earliest time, To is exclusive.
	From, To time.Time
	// BeforeID omits later entries; 0 starts with the latest.
	BeforeID int64
	// Limit is the page size; default 100, at most 1000.
	Limit int
}

// FieldChanged is the value of a secret field in the changes of an audit entry.
const FieldChanged = "changed"

// Changes returns the changes of an edit, sorted: "port: 22 -> 2222", and for secrets
// "password: changed".
func (e AuditEntry) Changes() []string {
	fields, _ := e.Details["changes"].(map[string]any)
	list := []string{}
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		text := FieldChanged
		if change, ok := fields[field].(map[string]any); ok {
			text = auditValue(change["to"])
			if from, existed := change["from"]; existed {
				text = auditValue(from) + " -> " + text
			}
		}
		list = append(list, field+": "+text)
	}
	return list
}

// auditValue returns a setting as text; lists are separated by commas.
func auditValue(value any) string {
	switch v := value.(type) {
	case nil:
		return "none"
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			texts[i] = DisplayPath(fmt.Sprint(v[i]))
		}
		return cmp.Or(strings.Join(texts, ", "), "none")
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return cmp.Or(DisplayPath(fmt.Sprint(v)), "none")
	}
}

// DetailText is a detail of an event or audit entry, safe to display.
type DetailText struct{ Name, Text string }

// DisplayDetails returns the details of an event or audit entry by name. It omits null, empty
// texts and empty lists, separates the texts of a list by commas, rounds numbers to three
// decimals and shows other values as JSON.
func DisplayDetails(values map[string]any) (list []DetailText) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var text string
		switch value := values[name].(type) {
		case nil:
			continue
		case string:
			if text = value; text == "" {
				continue
			}
		case []string:
			if text = strings.Join(value, ", "); text == "" {
				continue
			}
		case []any:
			if text = auditValue(value); len(value) == 0 {
				continue
			}
		case float64:
			text = strconv.FormatFloat(math.Round(value*1000)/1000, 'f', -1, 64)
		default:
			encoded, err := json.Marshal(value)
			if err != nil || string(encoded) == "[]" {
				continue
			}
			text = string(encoded)
		}
		list = append(list, DetailText{name, DisplayPath(text)})
	}
	return list
}

// ValidName reports whether the text may name a server or a token: 1 to 63
// letters, digits, '-', '_' or '.'. The names "." and ".." are refused: clients
// and browsers remove them from paths, so the token could not be revoked.
func ValidName(text string) bool {
	if text == "" || len(text) > 63 || text == "." || text == ".." {
		return false
	}
	for _, r := range text {
		if notNameRune(r) {
			return false
		}
	}
	return true
}
