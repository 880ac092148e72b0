package console

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestHeldChanges: operators see the actions on the server's page, overview and list show
// the badge, and the action is applied.
func TestHeldChanges(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	f.Servers[0].LastError, f.Servers[0].HostKeys, f.Servers[0].LastScanAt = "", []string{"key"}, noon
	f.Servers[0].Attention = ingest.Attention{
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
	require.Equal(t, []string{"resolve 1h0m0s same of acme: summer time"}, f.Calls)
	post(c, "/servers/acme/changes", form("take", "  "))
	require.Len(t, f.Calls, 1, "it needs a reason")

	viewed, viewer := full(ingest.RoleViewer)
	viewed.Servers = f.Servers
	assert.NotContains(t, get(viewer, "/servers/acme").Body.String(), `action="/servers/acme/changes"`)
	require.Equal(t, http.StatusForbidden, post(viewer, "/servers/acme/changes", form("same", "x")).Code)
	require.Empty(t, viewed.Calls)

	f.Progressing = nil
	f.Files[0].Status, f.Files[0].Hold, f.Files[0].ModTime = ingest.StatusDiscovered, ingest.HoldHeld, noon.AddDate(50, 0, 0)
	shown := get(c, "/files/f1").Body.String()
	assert.Contains(t, shown, "Decide on the server")
	assert.Contains(t, shown, "its modification time is in the future")
}
