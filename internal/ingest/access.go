package ingest

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Role says what a caller may do. Each role may do what those before it may.
type Role string

// The roles.
const (
	// RoleViewer reads.
	RoleViewer Role = "viewer"
	// RoleOperator also acts on files and scans, tests and pauses servers.
	RoleOperator Role = "operator"
	// RoleAdmin also changes servers and tokens, and reads the audit log.
	RoleAdmin Role = "admin"
)

// Roles lists every role, the weakest first.
var Roles = []Role{RoleViewer, RoleOperator, RoleAdmin}

// Allows reports whether the role is the needed one or a stronger one. An
// unknown role allows nothing.
func (r Role) Allows(needed Role) bool {
	has, needs := slices.Index(Roles, r), slices.Index(Roles, needed)
	return has >= 0 && needs >= 0 && has >= needs
}

// ParseRole returns the role named by text, or an error that lists the names.
func ParseRole(text string) (Role, error) {
	if r := Role(text); slices.Contains(Roles, r) {
		return r, nil
	}
	return "", fmt.Errorf("role %q: use viewer, operator or admin", text)
}

// Principal is who asks.
type Principal struct {
	Name string
	Role Role
	// TokenID tells tokens apart that had the same name one after the other; empty
	// for who came without one.
	TokenID string
}

// TokenID returns the id of the token with the SHA-256 digest.
func TokenID(digest [32]byte) string { return hex.EncodeToString(digest[:8]) }

// BootstrapToken is the name of the token in the configuration; no other may
// have it.
const BootstrapToken = "bootstrap"

// Token is a bearer token of the API without its secret.
type Token struct {
	Name string
	Role Role
	// ExpiresAt is zero when it is valid until revoked.
	ExpiresAt time.Time
	// RevokedAt is zero while it is valid, LastUsedAt when it never was used; the
	// latter is right to about a minute.
	RevokedAt  time.Time
	LastUsedAt time.Time
	CreatedAt  time.Time
	// CreatedBy is the name of the principal that made it.
	CreatedBy string
}

// AuditEntry says who asked for a change.
type AuditEntry struct {
	ID int64
	// Key is a uuid by which a repeated write is known.
	Key string
	At  time.Time
	// Actor and Role are the principal's.
	Actor string
	Role  Role
	// Action is what was asked for, e.g. "server.pause"; Target is what it was
	// done to, e.g. a server's name.
	Action string
	Target string
	// Details holds no secrets.
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
