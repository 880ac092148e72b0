package console_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	staleSince  = `!document.getElementById("stale").hidden && /since \d\d:\d\d:\d\d UTC: the server does not answer/.test(document.getElementById("stale").innerText)`
	staleNoMore = `document.getElementById("stale").hidden`
)

// TestAnOpenPageSaysThatItIsOld: what a person looks at may be out of date, and
// says so, whoever of the two does not answer; afterwards it is up to date by
// itself.
func TestAnOpenPageSaysThatItIsOld(t *testing.T) {
	t.Parallel()
	p, web, database := newPersonOnLines(t)
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
	p.sees("PostgreSQL: it does not answer")
	p.until(`/since \d\d:\d\d:\d\d UTC: the server cannot show this page now/.test(document.getElementById("stale").innerText)`)
	p.sees("acme") // what was there stays
	p.photo("database-away")
	p.accessible("page without PostgreSQL")
	p.evaluate(`window.told = document.getElementById("down-postgres"); window.asked = 0;
		document.addEventListener("htmx:afterSettle", (e) => { if (e.target.id === "health") window.asked++; })`)
	p.until("window.asked > 0")
	assert.True(t, p.is(`window.told === document.getElementById("down-postgres")`), "a line that stays is announced once")
	database.Restore()
	p.until(staleNoMore)
	p.until(`!document.getElementById("down-postgres")`)

	require.NoError(t, p.endSessions())
	p.until(`location.pathname === "/login" && location.search === "?next=%2Fservers"`)
}
