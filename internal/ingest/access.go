package ingest

import (
	"encoding/hex"
	"fmt"
	"slices"
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
}

// ValidName reports whether the text may name a server or a token: 1 to 63
// letters, digits, '-', '_' or '.'.
func ValidName(text string) bool {
	if text == "" || len(text) > 63 {
		return false
	}
	for _, r := range text {
		if notNameRune(r) {
			return false
		}
	}
	return true
}
