package operations

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"

	"stevedore/internal/ingest"
)

// ServerVersion returns a hash of a server's settings, credentials and whether it is active.
// Results of scans do not change it.
func ServerVersion(s ingest.Server) string {
	settings := s.SettingValues()
	settings["is_active"] = s.Active
	settings["credentials"] = [][]byte{s.PasswordEncrypted, s.PrivateKeyEncrypted}
	encoded, _ := json.Marshal(settings) // texts, numbers and bytes: cannot fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// changes returns the old and new values of the changed settings by field, for the audit
// log.
func changes(before, after ingest.Server) map[string]any {
	old, changed := before.SettingValues(), map[string]any{}
	for field, value := range after.SettingValues() {
		if !reflect.DeepEqual(old[field], value) {
			changed[field] = map[string]any{"from": inLog(old[field]), "to": inLog(value)}
		}
	}
	return changed
}

// created returns the settings of a new server that differ from the defaults, for the audit
// log. They have no old values.
func created(defaults, server ingest.Server) map[string]any {
	set := changes(defaults, server)
	for _, change := range set {
		delete(change.(map[string]any), "from")
	}
	return set
}

// inLog returns the value of a setting for the audit log: host keys by their fingerprints.
func inLog(value any) any {
	lines, ok := value.([]string)
	if !ok {
		return value
	}
	texts := make([]string, len(lines))
	for i, line := range lines {
		texts[i] = line
		if print := Fingerprint(line); print != "" {
			texts[i] = strings.TrimSpace(print + " " + ingest.HostKeyExpiryText(line))
		}
	}
	return texts
}
