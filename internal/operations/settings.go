package operations

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"

	"stevedore/internal/ingest"
)

// settingsOf returns the settings of a server by their names in the API, without secrets.
func settingsOf(s ingest.Server) map[string]any {
	settings := map[string]any{
		"name": s.Name, "host": s.Host, "port": s.Port, "username": s.Username, "host_keys": list(s.HostKeys),
		"root_path": s.RootPath, "include": list(s.Include), "exclude": list(s.Exclude),
		"max_parallel": s.MaxParallel, "settle": s.Settle.String(), "scan_interval": s.ScanInterval.String(),
		"transfer": s.Transfer, "after_ingest": s.AfterIngest, "on_collision": s.OnCollision, "min_age": s.MinAge.String(),
		"done_marker": s.DoneMarker, "sidecar_wait": s.SidecarWait.String(), "max_depth": s.MaxDepth,
		"read_once": s.ReadOnce, "legacy_algorithms": s.LegacyAlgorithms,
	}
	maps.Copy(settings, s.OptionValues())
	return settings
}

// list returns a copy that is never nil, so that nil and an empty list compare as equal.
func list(texts []string) []string { return append([]string{}, texts...) }

// ServerVersion returns a hash of a server's settings, credentials and whether it is active.
// Results of scans do not change it.
func ServerVersion(s ingest.Server) string {
	settings := settingsOf(s)
	settings["is_active"] = s.Active
	settings["credentials"] = [][]byte{s.PasswordEncrypted, s.PrivateKeyEncrypted}
	encoded, _ := json.Marshal(settings) // texts, numbers and bytes: cannot fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// changes returns the old and new values of the changed settings by field, for the audit
// log.
func changes(before, after ingest.Server) map[string]any {
	old, changed := settingsOf(before), map[string]any{}
	for field, value := range settingsOf(after) {
		if !reflect.DeepEqual(old[field], value) {
			changed[field] = map[string]any{"from": old[field], "to": value}
		}
	}
	return changed
}
