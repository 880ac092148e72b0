package operations

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"

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
			changed[field] = map[string]any{"from": old[field], "to": value}
		}
	}
	return changed
}
