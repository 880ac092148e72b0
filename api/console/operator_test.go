package console_test

import (
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestOperatorReprocessesLostObject previews a server, deletes an object, finds it by an
// audit and reprocesses the file. Then it opens the pages of a server with many problems.
func TestOperatorReprocessesLostObject(t *testing.T) {
	t.Parallel()
	p := newUser(t)
	p.StartWorker(t)
	acme := p.AddServer(t, "acme", func(s *ingest.Server) { s.AfterIngest = ingest.AfterDelete })
	globex := p.AddServer(t, "globex", nil)
	acme.Write(t, "deleted.csv", sandbox.Random(2000))
	globex.Write(t, "lost.csv", sandbox.Random(1000))
	p.ScanAndWait(t)
	lost := p.Completed(t, globex.Path("lost.csv"))
	p.AwaitIngest(t, lost.UUID)
	p.logIn(t)

	for _, name := range []string{"report.csv.tmp", "orders.csv.sha256", ".hidden"} {
		globex.Write(t, name, sandbox.Random(10))
	}
	p.open(t, "/servers/globex")
	p.press(t, "Preview")
	p.sees(t, "Included files")
	p.sees(t, "lost.csv")
	p.sees(t, "name of a file in progress, *.tmp")
	p.photo(t, "server-test-sample")
	p.accessible(t, "test with a sample")

	require.NoError(t, p.S3.Core.RemoveObject(p.Context(t), p.S3.Bucket, lost.ObjectKey, minio.RemoveObjectOptions{}))
	p.open(t, "/audits")
	p.press(t, "Start audit")
	p.sees(t, "there is no object")
	p.photo(t, "audit-missing")
	p.press(t, "Reprocess")
	p.sees(t, "Timeline")
	p.do(t, chromedp.Click(`//summary[normalize-space()="Reprocess"]`))
	p.do(t, chromedp.SetValue(`//button[@value="reprocess"]/ancestor::form//input[@name="reason"]`, "deleted by mistake"))
	p.photo(t, "file-reprocess")
	p.accessible(t, "reprocess")
	p.do(t, chromedp.Click(`button[value=reprocess]`))
	p.sees(t, "Reprocessing requested")
	p.File(t, globex.Path("lost.csv"), func(f ingest.File) bool { return f.Status == ingest.StatusCompleted && f.Round > lost.Round })

	p.insertProblems(t)
	for name, path := range map[string]string{"server": "/servers/acme", "server-form": "/servers/acme/edit", "servers": "/servers", "audits": "/audits"} {
		p.open(t, path)
		p.photo(t, "operator-"+name)
		p.accessible(t, name)
		p.phone(t)
		p.photo(t, "operator-"+name+"-phone")
		p.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("button[value=ru]").click(); void 0`))
		p.until(t, `document.documentElement.lang === "ru"`)
		p.photo(t, "operator-"+name+"-phone-ru")
		p.wide(t)
		p.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("button[value=en]").click(); void 0`))
		p.until(t, `document.documentElement.lang === "en"`)
	}
}

// insertProblems inserts problems of acme into the ledger.
func (p *user) insertProblems(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(p.Context(t), p.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	defer func() { _ = conn.Close(p.Context(t)) }()
	for _, statement := range []string{
		`UPDATE files SET source_left = 'permission denied by the server', source_left_at = now() WHERE remote_path LIKE '%deleted.csv'`,
		`UPDATE sftp_servers SET unread = '{"count": 2, "folders": [{"path": "/in/forbidden-with-a-rather-long-name-of-a-folder", "reason": "permission denied"},
			{"path": "/in/endless", "reason": "the listing has no end: 1,000,000 entries"}]}' WHERE name = 'acme'`,
		`INSERT INTO files (file_uuid, server_uuid, remote_path, remote_path_raw, filename, size_bytes, mtime, status, hold, time_shift)
			SELECT gen_random_uuid(), server_uuid, '/in/held-' || n, convert_to('/in/held-' || n, 'UTF8'), 'held-' || n, 10, now() - interval '1 hour', 'discovered', 'held', 3600
			FROM sftp_servers, generate_series(1, 120) n WHERE name = 'acme'`,
	} {
		_, err := conn.Exec(p.Context(t), statement)
		require.NoError(t, err, statement)
	}
}
