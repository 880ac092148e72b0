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
	p.StartWorker()
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	p.Expect(sshd, "acme")

	p.open("/files?status=error")
	p.do(chromedp.SendKeys("#token", "wrong"), chromedp.Submit("#token"))
	p.sees("unknown, expired or revoked")
	p.accessible("log-in page")
	p.do(chromedp.SendKeys("#token", token), chromedp.Submit("#token"), chromedp.WaitVisible("header.top"))
	p.until(`location.search === "?status=error"`)

	p.open("/")
	p.sees("No servers yet")
	p.press("Add a server")
	p.fill("name", "ac me")
	p.fill("host", sshd.Host)
	p.fill("port", strconv.Itoa(sshd.Port))
	p.fill("username", sshd.User)
	p.fill("root_path", sshd.Root)
	p.fill("settle", "2s")
	p.fill("scan_interval", "5m")
	p.fill("private_key", string(sshd.PrivateKeyPEM))
	p.press("Save")
	p.sees("use 1 to 63 letters")
	p.photo("server-form-refused")
	p.accessible("server form")
	p.fill("name", "acme")
	p.fill("private_key", string(sshd.PrivateKeyPEM))
	p.press("Test connection")
	p.sees("its host key is not pinned yet")
	p.photo("server-form-tested")
	p.accessible("server form after a test")
	p.press("Save") // the private key was kept
	p.sees("Server added")

	p.press("Test connection")
	p.sees("not pinned yet")
	fingerprint, err := chromedp.Run(p.ctx, chromedp.Text("#test dd code"))
	require.NoError(t, err)
	require.Contains(t, fingerprint, "SHA256:")
	p.photo("server-approve-key")
	p.accessible("host key")
	p.do(chromedp.Click(`#test input[type=checkbox]`))
	p.press("Approve this key")
	p.sees("OK: connected")
	p.press("Scan now")
	p.sees("Scan started")

	p.open("/files")
	p.do(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true; void 0"))
	sshd.Write("orders/first.csv", sandbox.Random(300_000))
	p.open("/files")
	p.do(chromedp.Evaluate[chromedp.Void]("window.sameDocument = true; void 0"))
	p.Scan()
	p.until(row("first.csv", has("completed")))
	assert.True(t, p.is("window.sameDocument"), "the page was not reloaded")
	p.photo("files")
	p.do(chromedp.Click(`//a[contains(., "first.csv")]`))
	p.sees("Timeline")
	for _, event := range []string{"First seen", "Downloaded", "Content verified", "Stored and verified", "Notified"} {
		p.sees(event)
	}
	p.photo("file")
	p.accessible("file")
	p.RequireExactlyOnce()
}

// broken writes files with wrong checksum files, which fail permanently.
func (p *user) broken(sshd *services.SSHD, names ...string) {
	for _, name := range names {
		sshd.Write(name, []byte("content of "+name))
		sshd.Write(name+".sha256", []byte(sandbox.Digest([]byte("something else"))+"  "+name+"\n"))
	}
}

// repair corrects the checksum files.
func (p *user) repair(sshd *services.SSHD, names ...string) {
	for _, name := range names {
		sshd.Write(name+".sha256", []byte(sandbox.Digest([]byte("content of "+name))+"  "+name+"\n"))
	}
}

// TestUserRetriesFailedFiles retries one file, then several.
func TestUserRetriesFailedFiles(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker()
	acme := p.AddServer("acme", nil)
	many := []string{"b.csv", "c.csv", "d.csv"}
	p.broken(acme, append(many, "a.csv")...)
	p.logIn()
	p.open("/")
	p.Scan()
	for _, name := range append(many, "a.csv") {
		p.Parked(acme.Path(name))
	}
	p.sees("Needs attention")
	p.photo("overview-attention")
	p.accessible("overview")

	p.open("/files?status=error")
	p.until(row("a.csv", has("error")))
	p.photo("files-failed")
	p.accessible("files")
	p.do(chromedp.Click(`//a[contains(., "a.csv")]`))
	p.sees("Retry or skip the file.")
	p.photo("file-failed")
	p.repair(acme, "a.csv")
	p.fill("reason", "the partner has corrected the checksum")
	p.press("Retry")
	p.sees("Retry requested.")
	p.sees("Done: stored and notified.")
	p.sees("the partner has corrected the checksum")

	p.repair(acme, many...)
	p.open("/files?status=error&server=acme")
	p.do(chromedp.Click("#all-matching"))
	p.press("Retry…")
	p.sees("Retry 3 files")
	p.fill("reason", "all corrected")
	p.photo("bulk")
	p.accessible("bulk")
	p.do(chromedp.Click(`main form button.primary`))
	p.sees("Action applied to 3 files.")
	p.press("Back to files")
	p.sees("No files match this filter.")
	for _, name := range many {
		p.AwaitIngest(p.Completed(acme.Path(name)).UUID)
	}
	p.RequireExactlyOnce()
}

// TestUserPausesUpdatesAndChangesLooks pauses updates and opens pages in Russian, dark
// and on a phone.
func TestUserPausesUpdatesAndChangesLooks(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker()
	acme := p.AddServer("acme", nil)
	const hostile = `<img src=x onerror="window.harmed=1"> =cmd.csv`
	acme.Write(hostile, []byte("harmless"))
	p.Scan()
	p.Completed(acme.Path(hostile))
	p.logIn()
	p.open("/files")
	p.sees("=cmd.csv")
	p.do(chromedp.Click("#live"))
	p.until(`document.getElementById("live").getAttribute("aria-pressed") === "true"`)
	p.open("/files")
	p.until(`document.getElementById("live").getAttribute("aria-pressed") === "true"`) // the next page is paused, too
	acme.Write("later.csv", []byte("later"))
	p.Scan()
	p.Completed(acme.Path("later.csv"))
	assert.False(t, p.is(row("later.csv", "true")), "updates are paused")
	p.do(chromedp.Click("#live"))
	p.until(row("later.csv", has("completed")))

	p.do(chromedp.Click("#zone"))
	p.until(`document.getElementById("zone").innerText === "Local time"`)
	p.do(chromedp.Click("#zone"))
	p.until(`/second|minute|now/.test(document.querySelector("time").innerText)`)
	p.do(chromedp.Click("#zone"))
	p.do(chromedp.KeyEvent("j"), chromedp.KeyEvent("?"))
	p.until(`document.getElementById("keys").open`)
	p.do(chromedp.Click("#keys button"), chromedp.KeyEvent("/"))
	p.until(`document.activeElement.id === "search"`)

	p.do(chromedp.Click(`button[value=ru]`))
	p.sees("Найдено 2 файла")
	p.until(`document.documentElement.lang === "ru"`)
	p.phone() // Russian words are longer
	for name, path := range map[string]string{"overview": "/", "server": "/servers/acme", "server-edit": "/servers/acme/edit", "files": "/files?status=error"} {
		p.open(path)
		assert.False(t, p.is("document.documentElement.scrollWidth > innerWidth + 1"), "%s in Russian is wider than a phone", name)
		p.photo(name + "-phone-ru")
	}
	p.wide()
	p.open("/")
	p.photo("overview-ru")
	p.do(chromedp.Click(`button[value=en]`))
	p.until(`document.documentElement.lang === "en"`)
	p.lookAround(acme)
	assert.False(t, p.is("window.harmed"), "a file's name was run")
	p.RequireExactlyOnce()
}

// lookAround opens every page in the light, in the dark and on a phone.
func (p *user) lookAround(acme *services.SSHD) {
	file := p.File(acme.Path("later.csv"), func(ingest.File) bool { return true })
	p.open("/audits")
	p.press("Start audit")
	p.sees("No discrepancies.")
	audit, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("location.pathname"))
	require.NoError(p.t, err)
	pages := map[string]string{
		"overview": "/", "servers": "/servers", "server": "/servers/acme", "server-edit": "/servers/acme/edit", "files": "/files", "file": "/files/" + file.UUID,
		"scans": "/scans", "scan": "/scans/1", "audits": "/audits", "audit": audit, "changes": "/changes", "tokens": "/tokens", "api-documentation": "/docs",
	}
	for name, path := range pages {
		for _, scheme := range []string{"light", "dark"} {
			p.prefers(scheme)
			p.open(path)
			if path != "/docs" { // Swagger UI has serious violations of its own
				p.accessible(name + " in the " + scheme)
			}
			p.photo(name + "-" + scheme)
		}
		p.phone()
		p.open(path)
		assert.False(p.t, p.is("document.documentElement.scrollWidth > innerWidth + 1"), "%s is wider than a phone", name)
		p.photo(name + "-phone")
		p.wide()
		assert.False(p.t, p.is("window.harmed"), "a file's name was run on %s", name)
	}
	p.prefers("light")
}

func TestMain(m *testing.M) { os.Exit(m.Run()) }

// TestUserSeesBytesMoveAndWhyAFileWaits opens a slow download, a file that is retried, and
// the audit of a corrupted object.
func TestUserSeesBytesMoveAndWhyAFileWaits(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker()
	acme, globex := p.AddFaulty("acme", nil), p.AddFaulty("globex", nil)
	p.AddFaulty("initech", nil)
	p.earlier("acme", 40)
	p.earlier("globex", 15)
	for i, name := range []string{"orders-20.csv", "orders-21.csv", "invoice-4711.pdf", "stock-warehouse-3.xml"} {
		acme.Write(name, sandbox.Random(59_000+i*700))
	}
	for i, name := range []string{"daily-prices.csv", "отчёт-итоги.txt"} {
		globex.Write(name, sandbox.Random(161_000+i*900))
	}
	p.logIn()
	p.Scan()
	arrived := p.Completed(acme.Path("orders-20.csv"))
	p.Completed(globex.Path("отчёт-итоги.txt"))

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
	p.Scan()
	p.open("/files")
	p.until(row("backup-archive.tar", has("B/s")+" && "+has("left")+` && tr.querySelector("progress").value > 0`))
	p.until(row("locked.csv", `/attempt \d+, next try in .*, because: .*another program has it/.test(tr.innerText)`))
	p.until(row("payments-batch-118.dat", has("error")))
	p.photo("files-in-flight")
	p.accessible("files in flight")
	p.open("/")
	p.sees("Needs attention")
	p.until(`document.querySelectorAll(".chart rect.ok[height]:not([height='0.0'])").length > 10`)
	p.photo("overview-in-flight")
	p.open("/servers")
	p.until(`document.querySelector(".spark path.ok").getBBox().width > 200`)
	p.photo("servers-in-flight")
	p.open("/files")
	p.do(chromedp.Click(`//a[contains(., "locked.csv")]`))
	p.sees("Next: attempt")
	p.photo("file-waiting")
	close(done)
	globex.SetFaults(services.SFTPFaults{})
	p.sees("Done: stored and notified.")
	p.AwaitIngest(p.Completed(acme.Path("backup-archive.tar")).UUID)
	p.corrupt(arrived)
}

// earlier adds completed files of the previous hours to the ledger.
func (p *user) earlier(server string, most int) {
	p.t.Helper()
	conn, err := pgx.Connect(p.Ctx, p.Cfg.Database.URL.Reveal())
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.Ctx) }()
	_, err = conn.Exec(p.Ctx, `
		INSERT INTO file_hours (hour, server_uuid, completed, bytes, failures)
		SELECT date_trunc('hour', now(), 'UTC') - i * interval '1 hour', s.server_uuid, n, n * 60000, CASE WHEN i % 7 = 3 THEN 1 + n / 9 ELSE 0 END
		FROM sftp_servers s, generate_series(1, 23) i, LATERAL (SELECT (1 + abs(sin(i * 0.9 + $2)) * $2)::int AS n) AS done WHERE s.name = $1`, server, most)
	require.NoError(p.t, err)
}

// corrupt replaces the object of a completed file and opens the audit.
func (p *user) corrupt(file ingest.File) {
	p.t.Helper()
	p.S3.Replace(p.t, file.ObjectKey, []byte("other bytes"))
	p.open("/audits")
	p.press("Start audit")
	p.until(`document.querySelectorAll("#audit tbody tr").length === 2`)
	p.until(row("orders-20.csv", has("differs")+" && "+has("11 bytes")+" && "+has("59,000 bytes")+` && tr.querySelectorAll("td.side").length === 4`))
	p.until(row("payments-batch-118.dat", has("it waits for an operator")))
	for _, scheme := range []string{"dark", "light"} {
		p.prefers(scheme)
		p.accessible("audit with discrepancies in the " + scheme)
		p.photo("audit-discrepancies-" + scheme)
	}
	p.phone()
	p.photo("audit-discrepancies-phone")
	assert.False(p.t, p.is("document.documentElement.scrollWidth > innerWidth + 1"), "an audit is wider than a phone")
	p.wide()
}
