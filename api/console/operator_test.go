package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestOperatorReprocessesLostObject previews a server, deletes an object, finds it by an
// audit and reprocesses the file. Then it opens the pages of a server with many problems.
func TestOperatorReprocessesLostObject(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker()
	acme := p.AddServer("acme", func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	globex := p.AddServer("globex", nil)
	acme.Write("deleted.csv", sandbox.Random(2000))
	globex.Write("lost.csv", sandbox.Random(1000))
	p.ScanAndWait()
	lost := p.Completed(globex.Path("lost.csv"))
	p.AwaitIngest(lost.UUID)
	p.logIn()

	p.open("/servers/globex")
	p.press("Preview")
	p.sees("Included files")
	p.sees("lost.csv")
	p.photo("server-test-sample")
	p.accessible("test with a sample")

	require.NoError(t, p.S3.Core.RemoveObject(p.Ctx, p.S3.Bucket, lost.ObjectKey, minio.RemoveObjectOptions{}))
	p.open("/audits")
	p.press("Start audit")
	p.sees("there is no object")
	p.photo("audit-missing")
	p.press("Reprocess")
	p.sees("Timeline")
	p.do(chromedp.Click(`//summary[normalize-space()="Reprocess"]`))
	p.do(chromedp.SetValue(`//button[@value="reprocess"]/ancestor::form//input[@name="reason"]`, "deleted by mistake"))
	p.photo("file-reprocess")
	p.accessible("reprocess")
	p.do(chromedp.Click(`button[value=reprocess]`))
	p.sees("Reprocessing requested")
	p.File(globex.Path("lost.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted && f.Round > lost.Round })

	p.insertProblems()
	for name, path := range map[string]string{"server": "/servers/acme", "server-form": "/servers/acme/edit", "servers": "/servers", "audits": "/audits"} {
		p.open(path)
		p.photo("operator-" + name)
		p.accessible(name)
		p.phone()
		assert.False(t, p.is("document.documentElement.scrollWidth > innerWidth + 1"), "%s is wider than a phone", name)
		p.photo("operator-" + name + "-phone")
		p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("button[value=ru]").click(); void 0`))
		p.until(`document.documentElement.lang === "ru"`)
		assert.False(t, p.is("document.documentElement.scrollWidth > innerWidth + 1"), "%s in Russian is wider than a phone", name)
		p.photo("operator-" + name + "-phone-ru")
		p.wide()
		p.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("button[value=en]").click(); void 0`))
		p.until(`document.documentElement.lang === "en"`)
	}
}

// insertProblems inserts problems of acme into the ledger.
func (p *user) insertProblems() {
	p.t.Helper()
	conn, err := pgx.Connect(p.Ctx, p.Cfg.Database.URL.Reveal())
	require.NoError(p.t, err)
	defer func() { _ = conn.Close(p.Ctx) }()
	for _, statement := range []string{
		`UPDATE files SET source_left = 'permission denied by the server', source_left_at = now() WHERE remote_path LIKE '%deleted.csv'`,
		`UPDATE sftp_servers SET unread = '{"count": 2, "folders": [{"path": "/in/forbidden-with-a-rather-long-name-of-a-folder", "reason": "permission denied"},
			{"path": "/in/endless", "reason": "the listing has no end: 1,000,000 entries"}]}' WHERE name = 'acme'`,
		`INSERT INTO files (file_uuid, server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status, hold, time_shift)
			SELECT gen_random_uuid(), server_uuid, '/in/held-' || n, convert_to('/in/held-' || n, 'UTF8'), 'held-' || n, 10, now() - interval '1 hour', 'discovered', 'held', 3600
			FROM sftp_servers, generate_series(1, 120) n WHERE name = 'acme'`,
	} {
		_, err := conn.Exec(p.Ctx, statement)
		require.NoError(p.t, err, statement)
	}
}
