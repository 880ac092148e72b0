package console_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// TestUserAddsAServerAndWatchesAFileArrive follows the first steps with the console.
func TestUserAddsAServerAndWatchesAFileArrive(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	p.Expect(sshd, "acme")

	p.open(t, "/files?status=error")
	p.do(t, chromedp.SendKeys("#token", "wrong"), chromedp.Submit("#token"))
	p.sees(t, "unknown, expired or revoked")
	p.accessible(t, "login page")
	p.do(t, chromedp.SendKeys("#token", token), chromedp.Submit("#token"), chromedp.WaitVisible("header.top"))
	p.until(t, `location.search === "?status=error"`)

	p.open(t, "/")
	p.sees(t, "No servers yet")
	p.press(t, "Add a server")
	p.fill(t, "name", "ac me")
	p.fill(t, "host", sshd.Host)
	p.fill(t, "port", strconv.Itoa(sshd.Port))
	p.fill(t, "username", sshd.User)
	p.fill(t, "root_path", sshd.Root)
	p.fill(t, "settle", "2s")
	p.fill(t, "scan_interval", "5m")
	p.fill(t, "private_key", string(sshd.PrivateKeyPEM))
	p.press(t, "Save")
	p.sees(t, "use 1 to 63 letters")
	p.photo(t, "server-form-refused")
	p.accessible(t, "server form")
	p.fill(t, "name", "acme")
	p.fill(t, "private_key", string(sshd.PrivateKeyPEM))
	p.press(t, "Test connection")
	p.sees(t, "its host key is not pinned yet")
	p.photo(t, "server-form-tested")
	p.accessible(t, "server form after a test")
	p.press(t, "Add this key")
	p.until(t, `document.getElementById("host_keys").value.startsWith("ssh-")`)
	p.evaluate(t, `document.getElementById("host_keys").value = ""`)
	assert.True(t, p.is(`document.getElementById("move_to").offsetParent === null`), "the folder is for moved files")
	p.do(t, chromedp.Click(`[name=after_ingest][value=move]`))
	p.until(t, `document.getElementById("move_to").offsetParent !== null`)
	p.do(t, chromedp.Click(`[name=after_ingest][value=keep]`))
	p.press(t, "Save") // the private key was kept
	p.sees(t, "Server added")

	p.press(t, "Test connection")
	p.sees(t, "not pinned yet")
	fingerprint, err := chromedp.Run(p.ctx, chromedp.Text("#test dd code"))
	require.NoError(t, err)
	require.Contains(t, fingerprint, "SHA256:")
	p.photo(t, "server-approve-key")
	p.accessible(t, "host key")
	p.do(t, chromedp.Click(`#test input[type=checkbox]`))
	p.press(t, "Pin this key")
	p.sees(t, "OK: connected")
	p.press(t, "Scan now")
	p.sees(t, "Scan started")

	p.open(t, "/files")
	p.do(t, chromedp.Evaluate[chromedp.Void]("window.sameDocument = true; void 0"))
	sshd.Write(t, "orders/first.csv", sandbox.Random(300_000))
	p.open(t, "/files")
	p.do(t, chromedp.Evaluate[chromedp.Void]("window.sameDocument = true; void 0"))
	p.Scan(t)
	p.until(t, row("first.csv", has("completed")))
	assert.True(t, p.is("window.sameDocument"), "the page was not reloaded")
	p.photo(t, "files")
	p.do(t, chromedp.Click(`//a[contains(., "first.csv")]`))
	p.sees(t, "Timeline")
	for _, event := range []string{"First seen", "Downloaded", "Content verified", "Stored and verified", "Notified"} {
		p.sees(t, event)
	}
	p.photo(t, "file")
	p.accessible(t, "file")
	p.RequireExactlyOnce(t)
}

// broken writes files with wrong checksum files, which fail permanently.
func (p *user) broken(t *testing.T, sshd *services.SSHD, names ...string) {
	for _, name := range names {
		sshd.Write(t, name, []byte("content of "+name))
		sshd.Write(t, name+".sha256", []byte(sandbox.Digest([]byte("something else"))+"  "+name+"\n"))
	}
}

// repair corrects the checksum files.
func (p *user) repair(t *testing.T, sshd *services.SSHD, names ...string) {
	for _, name := range names {
		sshd.Write(t, name+".sha256", []byte(sandbox.Digest([]byte("content of "+name))+"  "+name+"\n"))
	}
}

// TestUserRetriesFailedFiles retries one file, then several.
func TestUserRetriesFailedFiles(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker(t)
	acme := p.AddServer(t, "acme", nil)
	many := []string{"b.csv", "c.csv", "d.csv"}
	p.broken(t, acme, append(many, "a.csv")...)
	p.logIn(t)
	p.open(t, "/")
	p.Scan(t)
	for _, name := range append(many, "a.csv") {
		p.Failed(t, acme.Path(name))
	}
	p.sees(t, "Needs attention")
	p.photo(t, "overview-attention")
	p.accessible(t, "overview")

	p.open(t, "/files?status=error")
	p.until(t, row("a.csv", has("error")))
	p.photo(t, "files-failed")
	p.accessible(t, "files")
	p.do(t, chromedp.Click(`//a[contains(., "a.csv")]`))
	p.sees(t, "Retry or skip the file.")
	p.photo(t, "file-failed")
	p.repair(t, acme, "a.csv")
	p.fill(t, "reason", "the partner has corrected the checksum")
	p.press(t, "Retry")
	p.sees(t, "Retry requested.")
	p.sees(t, "Done: stored and notified.")
	p.sees(t, "the partner has corrected the checksum")

	p.repair(t, acme, many...)
	p.open(t, "/files?status=error&server=acme")
	p.do(t, chromedp.Click("#all-matching"))
	p.press(t, "Retry…")
	p.sees(t, "Retry 3 files")
	p.fill(t, "reason", "all corrected")
	p.photo(t, "bulk")
	p.accessible(t, "bulk")
	p.do(t, chromedp.Click(`main form button.primary`))
	p.sees(t, "Action applied to 3 files.")
	p.press(t, "Back to files")
	p.sees(t, "No files match this filter.")
	for _, name := range many {
		p.AwaitIngest(t, p.Completed(t, acme.Path(name)).UUID)
	}
	p.RequireExactlyOnce(t)
}

// TestUserPausesUpdatesAndChangesLooks pauses updates and opens pages in Russian, dark
// and on a phone.
func TestUserPausesUpdatesAndChangesLooks(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker(t)
	acme := p.AddServer(t, "acme", nil)
	const hostile = `<img src=x onerror="window.harmed=1"> =cmd.csv`
	acme.Write(t, hostile, []byte("harmless"))
	p.Scan(t)
	p.Completed(t, acme.Path(hostile))
	p.logIn(t)
	p.open(t, "/files")
	p.sees(t, "=cmd.csv")
	p.do(t, chromedp.Click("#live"))
	p.until(t, `document.getElementById("live").getAttribute("aria-pressed") === "true"`)
	p.open(t, "/files")
	p.until(t, `document.getElementById("live").getAttribute("aria-pressed") === "true"`) // the next page is paused, too
	acme.Write(t, "later.csv", []byte("later"))
	p.Scan(t)
	p.Completed(t, acme.Path("later.csv"))
	assert.False(t, p.is(row("later.csv", "true")), "updates are paused")
	p.do(t, chromedp.Click("#live"))
	p.until(t, row("later.csv", has("completed")))

	p.do(t, chromedp.Click("#zone"))
	p.until(t, `document.getElementById("zone").innerText === "Local time"`)
	p.do(t, chromedp.Click("#zone"))
	p.until(t, `/second|minute|now/.test(document.querySelector("time").innerText)`)
	p.do(t, chromedp.Click("#zone"))
	p.do(t, chromedp.KeyEvent("j"), chromedp.KeyEvent("?"))
	p.until(t, `document.getElementById("keys").open`)
	p.do(t, chromedp.Click("#keys button"), chromedp.KeyEvent("/"))
	p.until(t, `document.activeElement.id === "search"`)

	p.do(t, chromedp.Click(`button[value=ru]`))
	p.sees(t, "Найдено 2 файла")
	p.until(t, `document.documentElement.lang === "ru"`)
	p.phone(t) // Russian words are longer
	pages := map[string]string{
		"overview": "/", "server": "/servers/acme", "server-edit": "/servers/acme/edit", "files": "/files?status=error", "changes": "/audit-log?actor=ann", "scan": "/scans/1", "tokens": "/tokens",
	}
	p.prefers(t, "dark")
	for name, path := range pages {
		p.open(t, path)
		p.photo(t, name+"-phone-ru")
	}
	p.do(t, chromedp.Click(".menu summary"), chromedp.WaitVisible("#nav"))
	p.photo(t, "menu-phone-ru")
	p.accessible(t, "menu of a phone")
	p.wide(t)
	for name, path := range pages {
		p.open(t, path)
		p.photo(t, name+"-dark-ru")
	}
	p.do(t, chromedp.Click(`button[value=en]`))
	p.until(t, `document.documentElement.lang === "en"`)
	p.changeServer(t)
	p.lookAround(t, acme)
	assert.False(t, p.is("window.harmed"), "a file's name was run")
	p.RequireExactlyOnce(t)
}

// changeServer tests and saves new settings with the stored credentials.
func (p *user) changeServer(t *testing.T) {
	t.Helper()
	p.prefers(t, "light")
	p.open(t, "/servers/acme/edit")
	p.fill(t, "max_parallel", "2")
	p.fill(t, "exclude", "*.bak")
	p.press(t, "Preview")
	p.sees(t, "OK: connected")
	p.photo(t, "server-edit-tested")
	p.fill(t, "port", "1")
	p.press(t, "Test connection")
	p.sees(t, "enter it again")
	p.open(t, "/servers/acme/edit")
	p.fill(t, "max_parallel", "2")
	p.fill(t, "exclude", "*.bak")
	p.press(t, "Save")
	p.sees(t, "Saved.")
	p.open(t, "/audit-log?action=server.edit")
	p.until(t, row("server.edit", has("done")+" && "+has("Concurrency")))
}

// lookAround opens every page in the light, in the dark and on a phone.
func (p *user) lookAround(t *testing.T, acme *services.SSHD) {
	file := p.File(t, acme.Path("later.csv"), func(ingest.File) bool { return true })
	p.open(t, "/audits")
	p.press(t, "Start audit")
	p.sees(t, "No discrepancies.")
	audit, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("location.pathname"))
	require.NoError(t, err)
	pages := map[string]string{
		"overview": "/", "servers": "/servers", "server": "/servers/acme", "server-edit": "/servers/acme/edit", "files": "/files", "file": "/files/" + file.UUID,
		"scans": "/scans", "scan": "/scans/1", "audits": "/audits", "audit": audit, "changes": "/audit-log", "tokens": "/tokens", "api-documentation": "/docs",
	}
	for name, path := range pages {
		for _, scheme := range []string{"light", "dark"} {
			p.prefers(t, scheme)
			p.open(t, path)
			if path != "/docs" { // Swagger UI has serious violations of its own
				p.accessible(t, name+" in the "+scheme)
			}
			p.photo(t, name+"-"+scheme)
		}
		p.phone(t)
		p.open(t, path)
		p.photo(t, name+"-phone")
		p.wide(t)
		assert.False(t, p.is("window.harmed"), "a file's name was run on %s", name)
	}
	p.prefers(t, "light")
}

func TestMain(m *testing.M) { os.Exit(m.Run()) }

// TestUserSeesBytesMoveAndWhyAFileWaits opens a slow download, a file that is retried, and
// the audit of a corrupted object.
func TestUserSeesBytesMoveAndWhyAFileWaits(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker(t)
	acme, globex := p.AddFaulty(t, "acme", nil), p.AddFaulty(t, "globex", nil)
	p.AddFaulty(t, "initech", nil)
	p.earlier(t, "acme", 40)
	p.earlier(t, "globex", 15)
	for i, name := range []string{"orders-20.csv", "orders-21.csv", "invoice-4711.pdf", "stock-warehouse-3.xml"} {
		acme.Write(name, sandbox.Random(59_000+i*700))
	}
	for i, name := range []string{"daily-prices.csv", "отчёт-итоги.txt"} {
		globex.Write(name, sandbox.Random(161_000+i*900))
	}
	p.logIn(t)
	p.Scan(t)
	arrived := p.Completed(t, acme.Path("orders-20.csv"))
	p.Completed(t, globex.Path("отчёт-итоги.txt"))

	acme.Write("backup-archive.tar", sandbox.Random(64<<20))
	acme.Write("payments-batch-118.dat", []byte("payments"))
	acme.Write("payments-batch-118.dat.sha256", []byte(sandbox.Digest([]byte("something else"))+"  payments-batch-118.dat\n"))
	globex.Write("locked.csv", []byte("locked"))
	done := make(chan struct{})
	acme.SetFaults(services.SFTPFaults{Read: func(content, buf []byte, off int64) (int, error) {
		select { // slow until it was seen: minutes, even with eight reads at a time
		case <-done:
		case <-time.After(2 * time.Second):
		}
		return services.CorrectRead(content, buf, off)
	}})
	globex.SetFaults(services.SFTPFaults{Open: func(path string) error {
		if strings.HasSuffix(path, "locked.csv") {
			return errors.New("another program has it")
		}
		return nil
	}})
	p.Scan(t)
	p.open(t, "/files")
	p.until(t, row("backup-archive.tar", has("B/s")+" && "+has("left")+` && tr.querySelector("progress").value > 0`))
	p.until(t, row("locked.csv", `/attempt \d+, next try in .*, because: .*another program has it/.test(tr.innerText)`))
	p.until(t, row("payments-batch-118.dat", has("error")))
	p.photo(t, "files-in-flight")
	p.accessible(t, "files in flight")
	p.open(t, "/")
	p.sees(t, "Needs attention")
	p.until(t, `document.querySelectorAll(".chart rect.ok[height]:not([height='0.0'])").length > 10`)
	p.photo(t, "overview-in-flight")
	p.open(t, "/servers")
	p.until(t, `document.querySelector(".spark path.ok").getBBox().width > 200`)
	p.photo(t, "servers-in-flight")
	p.open(t, "/files")
	p.do(t, chromedp.Click(`//a[contains(., "locked.csv")]`))
	p.sees(t, "Next: attempt")
	p.photo(t, "file-waiting")
	close(done)
	globex.SetFaults(services.SFTPFaults{})
	p.sees(t, "Done: stored and notified.")
	p.AwaitIngest(t, p.Completed(t, acme.Path("backup-archive.tar")).UUID)
	p.corrupt(t, arrived)
}

// earlier adds completed files of the previous hours to the ledger.
func (p *user) earlier(t *testing.T, server string, most int) {
	t.Helper()
	conn, err := pgx.Connect(p.Context(t), p.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	defer func() { _ = conn.Close(p.Context(t)) }()
	_, err = conn.Exec(p.Context(t), `
		INSERT INTO file_hours (hour, server_uuid, completed, bytes, failures)
		SELECT date_trunc('hour', now(), 'UTC') - i * interval '1 hour', s.server_uuid, n, n * 60000, CASE WHEN i % 7 = 3 THEN 1 + n / 9 ELSE 0 END
		FROM sftp_servers s, generate_series(1, 23) i, LATERAL (SELECT (1 + abs(sin(i * 0.9 + $2)) * $2)::int AS n) AS done WHERE s.name = $1`, server, most)
	require.NoError(t, err)
}

// corrupt replaces the object of a completed file and opens the audit.
func (p *user) corrupt(t *testing.T, file ingest.File) {
	t.Helper()
	p.S3.Replace(t, file.ObjectKey, []byte("other bytes"))
	p.open(t, "/audits")
	p.press(t, "Start audit")
	p.until(t, `document.querySelectorAll("#audit tbody tr").length === 2`)
	p.until(t, row("orders-20.csv", has("differs")+" && "+has("11 bytes")+" && "+has("59,000 bytes")+` && tr.querySelectorAll("td.side").length === 4`))
	p.until(t, row("payments-batch-118.dat", has("it waits for an operator")))
	for _, scheme := range []string{"dark", "light"} {
		p.prefers(t, scheme)
		p.accessible(t, "audit with discrepancies in the "+scheme)
		p.photo(t, "audit-discrepancies-"+scheme)
	}
	p.phone(t)
	p.photo(t, "audit-discrepancies-phone")
	p.wide(t)
}
