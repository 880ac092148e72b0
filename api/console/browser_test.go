package console_test

import (
	"context"
	_ "embed"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/config"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/internal/wiring"
)

const (
	token = "canary-token"
	// tick is the polling interval of conditions.
	tick = 100 * time.Millisecond
	// width and height are the size of a desktop window.
	width, height = 1280, 860
)

//go:embed testdata/axe.min.js
var axe string

// user drives a browser against a complete stevedore on real services.
type user struct {
	*sandbox.Cluster
	ctx  context.Context //nolint:containedctx // chromedp identifies the browser by it
	base string
	// album is the folder of the screenshots.
	album string
}

// newUser starts the API and a browser; a worker is not running yet.
func newUser(t *testing.T) *user {
	t.Helper()
	p := &user{Cluster: sandbox.NewCluster(t), album: os.Getenv("STEVEDORE_TEST_SCREENSHOTS")}
	p.serve(t, nil)
	p.browse(t)
	return p
}

// newUserWithProxies is newUser with proxies between browser and API and between API and
// database.
func newUserWithProxies(t *testing.T) (p *user, web, database *sandbox.Proxy) {
	t.Helper()
	p = &user{Cluster: sandbox.NewCluster(t), album: os.Getenv("STEVEDORE_TEST_SCREENSHOTS")}
	dsn, err := url.Parse(p.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	database = proxied(t, dsn)
	dsn.Host = database.Address()
	p.serve(t, []string{"STEVEDORE_DATABASE_URL=" + dsn.String()})
	served, err := url.Parse(p.base)
	require.NoError(t, err)
	web = proxied(t, served)
	p.base = "http://" + web.Address()
	p.browse(t)
	return p, web, database
}

// proxied starts a proxy to a service.
func proxied(t *testing.T, service *url.URL) *sandbox.Proxy {
	t.Helper()
	port, err := strconv.Atoi(service.Port())
	require.NoError(t, err)
	return sandbox.NewProxy(t, service.Hostname(), port)
}

// serve starts the API with additional settings.
func (p *user) serve(t *testing.T, settings []string) {
	t.Helper()
	environ := append(append(slices.Clone(p.Env), "TEMPORAL_ADDRESS="+os.Getenv("TEMPORAL_ADDRESS")), settings...)
	cfg, err := config.Load(config.Options{Environ: environ})
	require.NoError(t, err)
	parts, err := wiring.New(cfg, services.Logger(t), wiring.Options{TaskQueue: p.Queue})
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	stopping, stop := context.WithCancel(context.Background())
	served := httptest.NewServer(api.NewHandler(api.Deps{
		Operations: parts.Operations(), Access: parts.Access(), Token: token, Log: services.Logger(t), Stopping: stopping.Done(), TemporalUI: "http://127.0.0.1:8233/namespaces/default", S3Console: "http://127.0.0.1:9003",
	}))
	t.Cleanup(served.Close)
	t.Cleanup(stop)
	p.base = served.URL
}

// browse starts a browser.
func (p *user) browse(t *testing.T) {
	t.Helper()
	program := services.Chromium(t)
	if p.album == "" {
		p.album = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(p.album, 0o755))
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(p.Context(t), options...)
	t.Cleanup(cancel)
	p.ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The browser lives as long as the context of its first action.
	require.NoError(t, chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)))
}

// do performs the steps. One that the browser refuses is tried again: a page that updates itself
// may replace an element between the lookup and the click.
func (p *user) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, sandbox.Timeout)
	defer cancel()
	for _, step := range steps {
		err := chromedp.Do(ctx, step)
		for err != nil && ctx.Err() == nil {
			t.Logf("tried again: %v", err)
			<-time.After(tick)
			err = chromedp.Do(ctx, step)
		}
		if err != nil {
			p.photo(t, "failure")
			require.NoError(t, err, "%s", p.text())
		}
	}
}

// is evaluates a condition in the page; false while a page loads.
func (p *user) is(condition string) bool {
	holds, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
	return err == nil && holds
}

// until waits for a condition of the page.
func (p *user) until(t *testing.T, condition string) {
	t.Helper()
	if !assert.Eventually(t, func() bool { return p.is(condition) }, sandbox.Timeout, tick, condition) {
		p.photo(t, "failure")
		require.Fail(t, condition, p.text())
	}
}

// sees waits until the page shows a text.
func (p *user) sees(t *testing.T, text string) {
	t.Helper()
	p.until(t, "document.body.innerText.includes("+strconv.Quote(text)+")")
}

func (p *user) evaluate(t *testing.T, script string) {
	t.Helper()
	p.do(t, chromedp.Evaluate[chromedp.Void](script+"; void 0"))
}

// endSessions deletes all sessions, as expiry does.
func (p *user) endSessions(t *testing.T) error {
	conn, err := pgx.Connect(p.Context(t), p.Cfg.Database.URL.Reveal())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(p.Context(t)) }()
	_, err = conn.Exec(p.Context(t), "DELETE FROM console_sessions")
	return err
}

func (p *user) text() string {
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

func (p *user) open(t *testing.T, path string) {
	t.Helper()
	p.do(t, chromedp.Navigate(p.base+path))
	p.until(t, "document.readyState === 'complete'")
}

// press clicks the button or link with the text.
func (p *user) press(t *testing.T, text string) {
	t.Helper()
	selector := fmt.Sprintf(`//main//*[self::button or self::a][normalize-space()=%q]`, text)
	p.do(t, chromedp.Click(selector, chromedp.NodeVisible))
}

func (p *user) fill(t *testing.T, field, value string) {
	t.Helper()
	p.do(t, chromedp.SetValue(fmt.Sprintf(`[name=%q]`, field), value, chromedp.NodeReady))
}

func (p *user) logIn(t *testing.T) {
	t.Helper()
	p.open(t, "/login")
	p.do(t, chromedp.SendKeys("#token", token), chromedp.Submit("#token"), chromedp.WaitVisible("header.top"))
}

// photo saves a screenshot.
func (p *user) photo(t *testing.T, name string) {
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(p.album, name+".png"), picture, 0o644)
	}
	assert.NoError(t, err)
}

func (p *user) wide(t *testing.T) { p.do(t, chromedp.EmulateViewport(width, height)) }

func (p *user) phone(t *testing.T) { p.do(t, chromedp.EmulateViewport(390, 844)) }

func (p *user) prefers(t *testing.T, scheme string) {
	t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	require.NoError(t, err)
}

// violation is an accessibility problem found by axe-core.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML string }
}

// accessible fails for serious and critical problems found by axe-core.
func (p *user) accessible(t *testing.T, page string) {
	t.Helper()
	p.evaluate(t, axe)
	faults, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]violation](
		`axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.map(v => ({ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => ({HTML: n.html}))})))`,
		chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	for _, f := range faults {
		where := ""
		for _, node := range f.Nodes[:min(3, len(f.Nodes))] {
			where += "\n  " + node.HTML
		}
		serious := f.Impact == "serious" || f.Impact == "critical"
		assert.False(t, serious, "%s: %s (%s, %s)%s", page, f.Help, f.ID, f.Impact, where)
	}
}

// row returns a condition on the table row of a file.
func row(file, condition string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("tbody tr")].some(tr => tr.innerText.includes(%s) && (%s))`, strconv.Quote(file), condition)
}

// has returns the condition that a row shows a text.
func has(text string) string { return "tr.innerText.includes(" + strconv.Quote(text) + ")" }
