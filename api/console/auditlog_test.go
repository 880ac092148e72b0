package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// logged returns a console with entries of the audit log.
func logged() (*servicedouble.Service, *Console) {
	f, c := full(ingest.RoleAdmin)
	f.Log = []ingest.AuditEntry{
		{
			ID: 3, At: noon, Actor: "ann", Role: ingest.RoleAdmin, Action: "server.edit", Target: "acme", Outcome: ingest.ActionDone,
			Details: map[string]any{"changes": map[string]any{"port": map[string]any{"from": 22.0, "to": 2222.0}, "password": "changed"}, "server_uuid": "s1"},
		},
		{ID: 2, At: noon, Actor: "=cmd", Action: "file.retry", Target: "f1", Outcome: ingest.ActionFailed, Error: "the file is busy"},
		{ID: 1, At: noon, Actor: "bob", Action: "server.remove", Target: "removed"},
		{ID: 0, Actor: "older"},
	}
	f.LogPage = 3
	return f, c
}

// TestAuditLog shows outcomes, changes and links to existing targets.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	f, c := logged()
	page := get(c, "/audit-log?actor=ann&action=&from=2026-02-01T00:00&before=9").Body.String()
	require.Equal(t, ingest.AuditFilter{Actor: "ann", From: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), BeforeID: 9, Limit: historyPerPage}, f.Logged[0])
	for _, text := range []string{
		`<a href="/servers/acme"><bdi>acme</bdi></a>`, `<a href="/files/f1"><bdi>f1</bdi></a>`, "<bdi>removed</bdi></td>", "the file is busy",
		`<dt>Port</dt><dd><bdi lang="en">22 -&gt; 2222</bdi></dd>`, `<dt>Password</dt><dd><bdi lang="en">changed</bdi></dd>`, "<dt>Server UUID</dt>", "Change server",
		"/api/v1/audit-log?actor=ann&amp;from=2026-02-01T00%3A00%3A00Z&amp;limit=100", `value="ann"`, `value="2026-02-01T00:00"`,
		`href="/audit-log/export?actor=ann&amp;format=csv&amp;from=2026-02-01T00%3A00"`, `href="/audit-log?actor=ann&amp;before=1&amp;from=2026-02-01T00%3A00"`,
	} {
		assert.Contains(t, page, text)
	}
	for _, badge := range []string{"done", "failed", "unknown"} {
		assert.Contains(t, page, "</span> "+badge+"</span>")
	}
	assert.NotContains(t, page, "<dt>changes</dt>")
}

// TestAuditLogIsExported exports all pages of the filtered log.
func TestAuditLogIsExported(t *testing.T) {
	t.Parallel()
	f, c := logged()
	exported := get(c, "/audit-log/export?format=csv&target=acme")
	require.Equal(t, `attachment; filename="audit-log.csv"`, exported.Header().Get("Content-Disposition"))
	records, err := csv.NewReader(exported.Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, records, 5)
	require.Equal(t, []string{
		"3", "2026-03-01T12:00:00Z", "ann", "admin", "server.edit", "acme", "done", "", "password: changed\nport: 22 -> 2222", `{"server_uuid":"s1"}`,
	}, records[1])
	require.Equal(t, []string{"'=cmd", "the file is busy"}, []string{records[2][2], records[2][7]}, "no formula of a spreadsheet")
	require.Equal(t, "older", records[4][2])
	require.Equal(t, []ingest.AuditFilter{{Target: "acme", Limit: exportPage}, {Target: "acme", Limit: exportPage, BeforeID: 1}}, f.Logged)

	lines := strings.Split(strings.TrimSpace(get(c, "/audit-log/export?format=jsonl").Body.String()), "\n")
	require.Len(t, lines, 4)
	var entry openapi.AuditEntry
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &entry))
	require.Equal(t, []string{"password: changed", "port: 22 -> 2222"}, entry.Changes)
}

// firstPageOnly has an audit log that fails after the first page.
type firstPageOnly struct{ *servicedouble.Service }

func (l firstPageOnly) AuditLog(ctx context.Context, filter ingest.AuditFilter) (ingest.Page[ingest.AuditEntry], error) {
	if filter.BeforeID > 0 {
		return ingest.Page[ingest.AuditEntry]{}, ingest.Errorf(ingest.KindTransient, "PostgreSQL is away")
	}
	return l.Service.AuditLog(ctx, filter)
}

// TestIncompleteExportFails: a failure after the first page breaks the connection.
func TestIncompleteExportFails(t *testing.T) {
	t.Parallel()
	f, c := logged()
	c.d.Access = firstPageOnly{f}
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { get(c, "/audit-log/export?format=csv") })
	limit, _ := timeout(httptest.NewRequest(http.MethodGet, "/audit-log/export?format=csv", nil))
	require.Equal(t, exportTimeout, limit)
}
