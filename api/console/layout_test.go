package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/api/web"
	"stevedore/internal/ingest"
	"stevedore/internal/test/servicedouble"
	"stevedore/internal/test/services"
)

// pagesOf returns the paths of all pages, with further ones that a filter or period changes.
func pagesOf(c *Console) (paths []string) {
	for _, route := range c.routes() {
		if method, path := requestOf(route.pattern); method == http.MethodGet && path != healthPath && path != exportPath {
			paths = append(paths, path)
		}
	}
	return append(paths, "/?period=30d", "/files?status=error&server=acme", "/files?search=nothing", "/scans?server=acme", "/audit-log?actor=ann", "/nowhere")
}

// crowded returns a console with long names and values on every page.
func crowded() (*servicedouble.Service, *Console) {
	f, c := populated()
	const path = "/outbox/partner-eu-central-1/invoices/2026/INV_2026-11-23_0000471199_settlement-report.final.v2.csv.gz"
	const failure = "cannot connect to acme: dial tcp 10.20.30.40:22: i/o timeout after 30s; the address sftpgateway.production.eucentral1.partner.example resolves to 10.20.30.40"
	s := &f.Servers[0]
	s.Host, s.Username, s.LastError, s.RootPath = "sftpgateway.production.eucentral1.partner.example", "svc_stevedore_ingest", failure, path
	s.HostKeys = []string{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"}
	s.AfterIngest, s.DoneMarker, s.Include = "move:"+path, "*.done", []string{path}
	s.Attention.Held = ingest.HeldChanges{Files: 300, Parts: []ingest.HeldPart{{Shift: time.Hour, Files: 299}, {Others: true, Files: 1}}}
	s.Unread = ingest.Unread{Count: 2, Folders: []ingest.UnreadFolder{{Path: path, Reason: failure}}}
	for i := range f.Files {
		f.Files[i].RemotePath, f.Files[i].Filename, f.Files[i].ErrorMessage = path, filepath.Base(path), failure
		f.Files[i].Hash, f.Files[i].ObjectKey = strings.Repeat("0f", 32), "files"+path
	}
	for i := range f.Discrepancies {
		f.Discrepancies[i].What, f.Discrepancies[i].Why = "acme:"+path, failure
	}
	f.Log[0].Details = map[string]any{"reason": failure, "changes": []any{"include: " + path}}
	f.Failures[0].Message, f.Listings[0].Error, f.Listings[0].Excluded = failure, failure, ingest.Unmatched{Count: 1_234_567, Example: path}
	f.Reconciled[0].Findings = []string{failure}
	f.Matched = 12
	presented := &f.Tested.Presented
	presented.KeyLine, presented.Sample.Paths = s.HostKeys[0], []string{path}
	presented.KeyExchange, presented.Extensions = "mlkem768x25519-sha256", []string{"posix-rename@openssh.com", "statvfs@openssh.com", "limits@openssh.com"}
	for i := range presented.Sample.Omitted {
		presented.Sample.Omitted[i].Path = path
	}
	return f, c
}

// posted are the pages that a form shows.
var posted = map[string]url.Values{
	"/files/act":         {"action": {"skip"}, "all": {"yes"}},
	"/servers/acme/test": {"sample": {"true"}},
	"/servers/test":      {"name": {"acme"}, "host": {"127.0.0.1"}, "port": {"22"}, "sample": {"yes"}},
	"/servers":           {"port": {"x"}},
	"/tokens":            {"name": {"ci-acme-acme-ci-acme"}, "role": {"admin"}},
}

// serveAs serves the console to a browser that is logged in and prefers a language. The pages
// of forms are served at their path after "/posted".
func serveAs(t *testing.T, c *Console, language string) string {
	t.Helper()
	mux := http.NewServeMux()
	for path, form := range posted {
		page := post(c, path, form, "Accept-Language", language).Body.Bytes()
		mux.HandleFunc("GET /posted"+path, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Accept-Language", language)
		r.AddCookie(&http.Cookie{Name: web.SessionCookie, Value: "valid"})
		web.Handler(web.Config{Log: c.d.Log}, func(*http.Request) web.Site { return c.Site() }).ServeHTTP(w, r)
	})
	served := httptest.NewServer(mux)
	t.Cleanup(served.Close)
	return served.URL
}

// TestEveryPageFitsItsWindow: no page scrolls horizontally, from phones to desktops.
func TestEveryPageFitsItsWindow(t *testing.T) {
	t.Parallel()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(services.Chromium(t)), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	for _, language := range []string{"en", "ru"} {
		_, c := crowded()
		base, paths := serveAs(t, c, language), pagesOf(c)
		for path := range posted {
			paths = append(paths, "/posted"+path)
		}
		for _, path := range paths {
			require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(base+path)))
			for _, width := range []int64{1280, 1024, 768, 375} {
				require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(width, 860)))
				over, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll(".menu, main details").forEach(d => d.open = true);
					document.documentElement.scrollWidth - document.documentElement.clientWidth`))
				require.NoError(t, err)
				assert.Zero(t, over, "%s in %s is wider than %d px", path, language, width)
				if album := os.Getenv("STEVEDORE_TEST_SCREENSHOTS"); album != "" {
					picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
					require.NoError(t, err)
					name := fmt.Sprintf("page%s-%s-%d.png", strings.ReplaceAll(path, "/", "-"), language, width)
					require.NoError(t, os.WriteFile(filepath.Join(album, name), picture, 0o644))
				}
			}
		}
	}
}
