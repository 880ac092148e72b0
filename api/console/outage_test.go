package console_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	staleSince  = `!document.getElementById("stale").hidden && /since \d\d:\d\d:\d\d UTC: the server does not respond/.test(document.getElementById("stale").innerText)`
	staleNoMore = `document.getElementById("stale").hidden`
)

// TestOpenPageShowsThatItIsStale: an open page shows failures of the API and of the
// database, and recovers without a reload.
func TestOpenPageShowsThatItIsStale(t *testing.T) {
	t.Parallel()
	p, web, database := newUserWithProxies(t)
	p.AddServer("acme", nil)
	p.logIn()
	p.open("/servers")
	p.until(staleNoMore)

	web.Cut()
	p.until(staleSince)
	p.photo("stale")
	p.accessible("stale page")
	web.Restore()
	p.until(staleNoMore)

	database.Cut()
	p.sees("PostgreSQL: unavailable")
	p.until(`/since \d\d:\d\d:\d\d UTC: the server returned an error/.test(document.getElementById("stale").innerText)`)
	p.sees("acme") // the content stays
	p.photo("database-away")
	p.accessible("page without PostgreSQL")
	p.evaluate(`window.shown = document.getElementById("down-postgres"); window.asked = 0;
		document.addEventListener("htmx:afterSettle", (e) => { if (e.target.id === "health") window.asked++; })`)
	p.until("window.asked > 0")
	assert.True(t, p.is(`window.shown === document.getElementById("down-postgres")`), "screen readers read an unchanged line once")
	database.Restore()
	p.until(staleNoMore)
	p.until(`!document.getElementById("down-postgres")`)

	require.NoError(t, p.endSessions())
	p.until(`location.pathname === "/login" && location.search === "?next=%2Fservers"`)
}
