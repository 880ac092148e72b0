package operations

import (
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestTheAuditLogHasNoOldValuesOfANewServer(t *testing.T) {
	t.Parallel()
	defaults := ingest.Server{Port: 22}
	set := created(defaults, ingest.Server{Host: "sftp.example", Port: 22})
	require.Equal(t, map[string]any{"host": map[string]any{"to": "sftp.example"}}, set)
	require.Equal(t, []string{"host: sftp.example"}, ingest.AuditEntry{Details: map[string]any{"changes": set}}.Changes())
}

func TestTheAuditLogNamesHostKeysByFingerprint(t *testing.T) {
	t.Parallel()
	line, _ := newKey(t, "")
	changed := changes(ingest.Server{HostKeys: []string{line}}, ingest.Server{HostKeys: []string{line + " acme\texpires=2027-01-31 node 2", "broken"}})
	require.Equal(t, map[string]any{"host_keys": map[string]any{
		"from": []string{Fingerprint(line)}, "to": []string{Fingerprint(line) + " expires=2027-01-31", "broken"},
	}}, changed)
}
