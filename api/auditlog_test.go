package api

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// TestTheAuditLogShowsOutcomesAndChanges: it never shows a secret.
func TestTheAuditLogShowsOutcomesAndChanges(t *testing.T) {
	t.Parallel()
	b := setupReal(t)
	began := time.Now().Add(-time.Minute)
	log := func(query url.Values) []openapi.AuditEntry {
		answer := b.call(http.MethodGet, "/api/v1/audit-log?"+query.Encode(), "")
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.NotContains(t, answer.Body.String(), "secret-")
		return decode[openapi.AuditPage](t, answer).Entries
	}
	created := b.call(http.MethodPost, "/api/v1/servers", `{"name":"acme","host":"sftp.example.com","username":"u","password":"secret-one","include":["*.csv"]}`)
	require.Equal(t, http.StatusCreated, created.Code, created.Body)
	edited := b.call(http.MethodPatch, "/api/v1/servers/acme", `{"port":2222,"include":["*.csv","*.txt"],"password":"secret-two"}`, "If-Match", "*")
	require.Equal(t, http.StatusOK, edited.Code, edited.Body)
	require.Equal(t, http.StatusOK, b.call(http.MethodPost, "/api/v1/servers/acme:pause", "").Code)
	b.failed(t, b.server(t, "other"), "/in/a.csv")
	files, err := b.store.Files(t.Context(), ingest.FileFilter{Limit: 1})
	require.NoError(t, err)
	b.engine.fail(ingest.Errorf(ingest.KindConflict, "the file is busy"))
	require.Equal(t, http.StatusConflict, b.call(http.MethodPost, "/api/v1/files/"+files[0].UUID+":retry", `{"reason":"again"}`).Code)

	entries := log(nil)
	require.Len(t, entries, 4)
	retried, paused, edit, create := entries[0], entries[1], entries[2], entries[3]
	assert.Equal(t, openapi.ActionFailed, retried.Outcome)
	require.NotNil(t, retried.Error)
	assert.Equal(t, "the file is busy", *retried.Error)
	assert.Equal(t, files[0].UUID, retried.Target)
	for _, entry := range entries[1:] {
		assert.Equal(t, openapi.ActionDone, entry.Outcome, entry.Action)
		assert.Nil(t, entry.Error, entry.Action)
		assert.Equal(t, "acme", entry.Target)
	}
	assert.Equal(t, []string{"is_active: true -> false"}, paused.Changes)
	assert.Equal(t, []string{"include: *.csv -> *.csv, *.txt", "password: changed", "port: 22 -> 2222"}, edit.Changes)
	assert.Equal(t, []string{"host: sftp.example.com", "include: *.csv", "name: acme", "username: u"}, create.Changes)

	for query, want := range map[string]int{
		"actor=bootstrap": 4, "actor=ann": 0, "action=server.edit": 1, "target=acme": 3, "target=acme&action=server.pause": 1,
		"from=" + url.QueryEscape(began.Format(time.RFC3339)): 4, "to=" + url.QueryEscape(began.Format(time.RFC3339)): 0,
	} {
		values, err := url.ParseQuery(query)
		require.NoError(t, err)
		assert.Len(t, log(values), want, query)
	}

	require.NoError(t, b.store.Record(t.Context(), ingest.AuditEntry{Key: "3b0c5a5e-0000-4000-8000-000000000001", Actor: "ann", Role: ingest.RoleAdmin, Action: "server.edit", Target: "acme"}))
	assert.Equal(t, openapi.ActionUnknown, log(url.Values{"actor": {"ann"}})[0].Outcome, "its process crashed")
}
