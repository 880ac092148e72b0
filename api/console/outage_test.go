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
	p.AddServer(t, "acme", nil)
	p.logIn(t)
	p.open(t, "/servers")
	p.until(t, staleNoMore)

	web.Cut()
	p.until(t, staleSince)
	p.photo(t, "stale")
	p.accessible(t, "stale page")
	web.Restore(t)
	p.until(t, staleNoMore)

	database.Cut()
	p.sees(t, "PostgreSQL: unavailable")
	p.until(t, `/since \d\d:\d\d:\d\d UTC: the server returned an error/.test(document.getElementById("stale").innerText)`)
	p.sees(t, "acme") // the content stays
	p.photo(t, "database-away")
	p.accessible(t, "page without PostgreSQL")
	p.evaluate(t, `window.shown = document.getElementById("down-postgres"); window.asked = 0;
		document.addEventListener("htmx:afterSettle", (e) => { if (e.target.id === "health") window.asked++; })`)
	p.until(t, "window.asked > 0")
	assert.True(t, p.is(`window.shown === document.getElementById("down-postgres")`), "screen readers read an unchanged line once")
	database.Restore(t)
	p.until(t, staleNoMore)
	p.until(t, `!document.getElementById("down-postgres")`)

	require.NoError(t, p.endSessions(t))
	p.until(t, `location.pathname === "/login" && location.search === "?next=%2Fservers"`)
}
