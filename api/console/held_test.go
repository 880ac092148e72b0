package console

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// ResolveChanges records the decision.
func (f *fake) ResolveChanges(_ context.Context, name string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	f.changes = append(f.changes, name+" "+string(decision)+" "+part+" "+reason)
	return 300, nil
}

// TestHeldChanges: operators see the actions on the server's page, overview and list show
// the badge, and the action is applied.
func TestHeldChanges(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	f.servers[0].LastError, f.servers[0].HostKeys, f.servers[0].LastScanAt = "", []string{"key"}, noon
	f.servers[0].Attention = ingest.Attention{
		Held: ingest.HeldChanges{Files: 300, Parts: []ingest.HeldPart{{Shift: time.Hour, Files: 299}, {Others: true, Files: 1}, {Moved: true, Files: 2}}}, HeldReason: "300 known files look new <script>", Resent: 2, LastScan: ingest.Scan{Note: "a note <script>"},
	}
	page := get(c, "/servers/acme").Body.String()
	for _, text := range []string{
		"300 changed files are held", "300 known files look new &lt;script&gt;", "unchanged, after they were deleted or moved: 2",
		"note of the scan: a note &lt;script&gt;", `action="/servers/acme/changes"`,
		`<option value="1h0m0s">299: 1h0m0s</option>`, `<option value="others">1: others</option>`, `<option value="moved">2: moved</option>`,
	} {
		assert.Contains(t, page, text)
	}
	assert.NotContains(t, page, "<script>\"")
	assert.Contains(t, get(c, "/").Body.String(), "changes held")
	assert.Contains(t, get(c, "/servers", "Accept-Language", "ru").Body.String(), "изменения задержаны")

	form := func(decision, reason string) url.Values {
		return url.Values{"decision": {decision}, "part": {"1h0m0s"}, "reason": {reason}}
	}
	answer := post(c, "/servers/acme/changes", form("same", "summer time"))
	require.Equal(t, http.StatusSeeOther, answer.Code)
	require.Equal(t, []string{"acme same 1h0m0s summer time"}, f.changes)
	post(c, "/servers/acme/changes", form("take", "  "))
	require.Len(t, f.changes, 1, "it needs a reason")

	viewed, viewer := full(ingest.RoleViewer)
	viewed.servers = f.servers
	assert.NotContains(t, get(viewer, "/servers/acme").Body.String(), `action="/servers/acme/changes"`)
	require.Equal(t, http.StatusForbidden, post(viewer, "/servers/acme/changes", form("same", "x")).Code)
	require.Empty(t, viewed.changes)

	f.progress = nil
	f.files[0].Status, f.files[0].Hold, f.files[0].ModTime = ingest.StatusDiscovered, ingest.HoldHeld, noon.AddDate(50, 0, 0)
	shown := get(c, "/files/f1").Body.String()
	assert.Contains(t, shown, "Decide on the server")
	assert.Contains(t, shown, "its modification time is in the future")
}
