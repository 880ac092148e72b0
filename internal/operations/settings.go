package operations

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"reflect"

	"stevedore/internal/ingest"
)

// settingsOf returns what operators set of a server, without secrets, by the
// names that the API uses.
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

// list tells no difference between none and an empty list.
func list(texts []string) []string { return append([]string{}, texts...) }

// ServerVersion names a server's settings, switch and credentials: it changes
// when one of them does, and not when a scan notes what it found.
func ServerVersion(s ingest.Server) string {
	settings := settingsOf(s)
	settings["is_active"] = s.Active
	settings["credentials"] = [][]byte{s.PasswordEncrypted, s.PrivateKeyEncrypted}
	encoded, _ := json.Marshal(settings) // texts, numbers and bytes: cannot fail
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// changes returns what differs, for the audit log: old and new by field.
func changes(before, after ingest.Server) map[string]any {
	old, changed := settingsOf(before), map[string]any{}
	for field, value := range settingsOf(after) {
		if !reflect.DeepEqual(old[field], value) {
			changed[field] = map[string]any{"from": old[field], "to": value}
		}
	}
	return changed
}
