package console

import (
	"compress/gzip"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// roles are those of openapi.yaml.
var roles = func() openapi.Roles {
	doc, err := openapi3.NewLoader().LoadFromFile("../openapi.yaml")
	if err != nil {
		panic(err)
	}
	return openapi.RolesOf(doc)
}()

// TestRolesAreThoseOfTheAPI: pages, actions and buttons name operations of openapi.yaml. An
// unknown one would be closed to all but admins.
func TestRolesAreThoseOfTheAPI(t *testing.T) {
	t.Parallel()
	_, c := as(ingest.RoleViewer)
	for _, route := range c.routes() {
		require.Contains(t, roles, route.operation, route.pattern)
	}
	pages, err := filepath.Glob("*.templ")
	require.NoError(t, err)
	buttons := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, operation := range regexp.MustCompile(`v\.can\("(\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
			require.Contains(t, roles, operation[1], page)
			buttons++
		}
	}
	require.Positive(t, buttons)
}

// as returns a console for a user of the role, whose session has the cookie "valid". A login
// with the token "right" succeeds.
func as(role ingest.Role) (*servicedouble.Service, *Console) {
	f := &servicedouble.Service{
		Now: noon, Principals: map[string]ingest.Principal{"right": {Name: "ann", Role: ingest.RoleAdmin}}, TokenList: []ingest.Token{{Name: "ci", Role: ingest.RoleViewer}},
		Reconciled: []ingest.Reconciliation{{StartedAt: noon, FinishedAt: noon, Requeued: 2, Findings: []string{"x"}}},
	}
	setRole(f, role)
	return f, New(Deps{Operations: f, Access: f, Roles: roles, Guard: access.NewGuard(access.GuardConfig{Access: f, Token: "bootstrap", RequestsPerSecond: 1e6}), Log: slog.New(slog.DiscardHandler), Version: "v1", TemporalUI: "http://temporal/namespaces/x", S3Console: "http://minio/", Now: func() time.Time { return noon }})
}

// setRole changes the role of the user's session.
func setRole(f *servicedouble.Service, role ingest.Role) {
	f.Principals["valid"] = ingest.Principal{Name: "ann", Role: role}
}

// endSession ends the user's session.
func endSession(f *servicedouble.Service) { delete(f.Principals, "valid") }

// exhaust uses up the user's request rate.
func exhaust(f *servicedouble.Service, c *Console) {
	c.d.Guard = access.NewGuard(access.GuardConfig{Access: f, Token: "bootstrap", RequestsPerSecond: 1e-6})
	_ = c.d.Guard.CountRequest(f.Principals["valid"].Name)
}

func get(c *Console, path string, headers ...string) *httptest.ResponseRecorder {
	return send(c, httptest.NewRequest(http.MethodGet, path, nil), headers)
}

func post(c *Console, path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(c, r, headers)
}

func send(c *Console, r *http.Request, headers []string) *httptest.ResponseRecorder {
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, prefix := range []string{"", "__Host-"} {
		r.AddCookie(&http.Cookie{Name: prefix + web.SessionCookie, Value: "valid"})
	}
	w := httptest.NewRecorder()
	web.Handler(web.Config{Log: c.d.Log}, func(*http.Request) web.Site { return c.Site() }).ServeHTTP(w, r)
	return w
}

// requestOf fills a route's pattern with names.
func requestOf(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.NewReplacer("{$}", "", "{server}", "acme", "{file}", "f1", "{name}", "ci", "{audit}", "a1", "{scan}", "1").Replace(path)
}

func TestNothingIsShownWithoutLoggingIn(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	endSession(f)
	for _, route := range c.routes() {
		method, path := requestOf(route.pattern)
		answer := send(c, httptest.NewRequest(method, path, nil), nil)
		require.Equal(t, http.StatusSeeOther, answer.Code, route.pattern)
		require.True(t, strings.HasPrefix(answer.Header().Get("Location"), "/login"), route.pattern)
		answer = send(c, httptest.NewRequest(method, path, nil), []string{"Hx-Request", "true"})
		require.Equal(t, http.StatusUnauthorized, answer.Code, route.pattern)
	}
	require.Equal(t, "/login?next=%2Ffiles%3Fstatus%3Derror", get(c, "/files?status=error").Header().Get("Location"))
}

func TestRolesLimitActions(t *testing.T) {
	t.Parallel()
	for i, role := range ingest.Roles {
		_, c := as(role)
		for _, route := range c.routes() {
			if role.Allows(c.d.Roles.Of(route.operation)) {
				continue
			}
			method, path := requestOf(route.pattern)
			answer := send(c, httptest.NewRequest(method, path, nil), nil)
			require.Equal(t, http.StatusForbidden, answer.Code, "%s as %s", route.pattern, role)
			require.Contains(t, answer.Body.String(), "This needs a token with the role "+string(c.d.Roles.Of(route.operation)))
		}
		require.Less(t, i, 3)
	}
	for _, route := range (&Console{}).routes() {
		method, path := requestOf(route.pattern)
		require.False(t, method == http.MethodPost && roles.Of(route.operation) == ingest.RoleViewer && path != "/logout", "%s changes something", route.pattern)
	}
}

func TestLoggingIn(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	endSession(f)
	wrong := post(c, "/login", url.Values{"token": {"wrong"}, "next": {"/files"}})
	require.Equal(t, http.StatusUnauthorized, wrong.Code)
	require.Contains(t, wrong.Body.String(), "unknown, expired or revoked")
	require.NotContains(t, wrong.Body.String(), `value="wrong"`)
	require.Empty(t, wrong.Result().Cookies())

	right := post(c, "/login", url.Values{"token": {" right "}, "next": {"/files?status=error"}})
	require.Equal(t, http.StatusSeeOther, right.Code)
	require.Equal(t, "/files?status=error", right.Header().Get("Location"))
	require.Equal(t, []string{"log in ann"}, f.Calls)
	cookie := right.Result().Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.False(t, cookie.Secure)
	safe := post(c, "/login", url.Values{"token": {"right"}}, "X-Forwarded-Proto", "https").Result().Cookies()[0]
	require.True(t, safe.Secure)
	require.Equal(t, "__Host-stevedore_session", safe.Name)
	require.Equal(t, "/", safe.Path)
	require.Empty(t, safe.Domain)
	planted := httptest.NewRequest("GET", "/", nil)
	planted.Header.Set("X-Forwarded-Proto", "https")
	planted.AddCookie(&http.Cookie{Name: "stevedore_session", Value: "planted by another host of the domain"})
	_, ok := web.Cookie(planted, web.SessionCookie)
	require.False(t, ok)
	for _, next := range []string{"https://evil.example/", "//evil.example", `/\evil.example`, "javascript:alert(1)", "/\r\nX: y"} {
		require.Equal(t, "/", post(c, "/login", url.Values{"token": {"right"}, "next": {next}}).Header().Get("Location"), next)
	}
}

func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	for _, headers := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		answer := post(c, "/servers/acme/test", url.Values{}, headers...)
		require.Equal(t, http.StatusForbidden, answer.Code)
	}
	require.Empty(t, f.Calls)
	page := get(c, "/login")
	policy := page.Header().Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.Equal(t, "no-store", get(c, "/servers").Header().Get("Cache-Control"))
}

// hostile combines several attacks on pages and terminals.
const hostile = "/in/<script>alert(1)</script>\"><img src=x onerror=alert(1)>=cmd\x1b[31m\u202egpj.exe\xff'; DROP"

func full(role ingest.Role) (*servicedouble.Service, *Console) {
	f, c := as(role)
	f.Servers = []ingest.Server{{UUID: "s1", Name: "acme", Host: "h", Port: 22, Username: "<b>u</b>", Active: true, State: ingest.ServerOK, LastError: hostile}}
	f.Files = []ingest.File{{
		ID: 1, UUID: "f1", ServerName: "acme", RemotePath: hostile, Filename: hostile[4:], Size: 3 << 20, Status: ingest.StatusError,
		ErrorMessage: hostile, ErrorKind: ingest.KindPermission, Bucket: "b", ObjectKey: "k", Hash: "abc", CreatedAt: noon, UpdatedAt: noon,
	}}
	f.Events = []ingest.StoredEvent{{ID: 1, Type: ingest.EventDiscovered, Timestamp: noon, Details: map[string]any{"path": hostile, "n": 1.5}}}
	f.AuditRuns = []ingest.AuditRun{{UUID: "a1", Actor: hostile, State: ingest.AuditFailed, Error: hostile}}
	f.Discrepancies = []ingest.Discrepancy{{Seq: 1, Mark: "-", What: hostile, Why: hostile, FileUUID: "f1"}}
	f.Log = []ingest.AuditEntry{{ID: 1, At: noon, Actor: hostile, Action: "server.edit", Target: hostile, Details: map[string]any{"x": hostile}}}
	f.Listings = []ingest.Scan{{
		ID: 1, ServerName: "acme", StartedAt: noon, FinishedAt: noon, Error: hostile,
		ScanOrigin: ingest.ScanOrigin{Source: ingest.SourceManual, RequestedBy: hostile}, Excluded: ingest.Unmatched{Count: 3, Example: hostile},
	}}
	f.Failures = []ingest.FailureGroup{{ServerName: "acme", Kind: ingest.KindPermission, Step: ingest.StepDownload, Count: 2, Since: noon, Message: hostile}}
	f.Progressing = map[string]orchestrator.Progress{"f1": {Step: ingest.StepDownload, Attempt: 3, NextTry: noon.Add(12 * time.Second), Failure: hostile}}
	return f, c
}

func TestHostileNamesAreInert(t *testing.T) {
	t.Parallel()
	_, c := full(ingest.RoleAdmin)
	for _, path := range []string{"/", "/servers", "/servers/acme", "/files", "/files/f1", "/scans", "/scans/1", "/audit-log", "/tokens", "/servers/acme/edit", "/audits", "/audits/a1"} {
		for _, language := range []string{"en", "ru"} {
			answer := get(c, path, "Accept-Language", language)
			require.Equal(t, http.StatusOK, answer.Code, path)
			requireInert(t, path, answer.Body.String())
		}
	}
}

// TestARemovedServerIsMarked: its name may be that of another server, so it is no link.
func TestARemovedServerIsMarked(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleAdmin)
	f.Files[0].ServerRemoved, f.Listings[0].ServerRemoved = true, true
	for _, path := range []string{"/files", "/files/f1", "/scans", "/scans/1"} {
		page := get(c, path).Body.String()
		require.Contains(t, page, "acme (removed)", path)
		require.NotContains(t, page, `href="/servers/acme"`, path)
	}
	require.Contains(t, get(c, "/files", "Accept-Language", "ru").Body.String(), "acme (удалён)")
}

// requireInert parses a page as browsers do and rejects foreign elements and attributes.
func requireInert(t *testing.T, path, page string) {
	t.Helper()
	for _, r := range []string{"\x1b", "\u202e", "\xff"} {
		require.NotContains(t, page, r, path)
	}
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for node := range root.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		switch node.Data {
		case "script":
			require.True(t, strings.HasPrefix(attribute(node, "src"), "/static/"), "%s has a script of its own", path)
		case "img":
			require.Equal(t, "/static/icon.svg", attribute(node, "src"), path)
		case "b":
			require.Fail(t, "an element that is none of ours", path)
		}
		for _, a := range node.Attr {
			require.False(t, strings.HasPrefix(a.Key, "on"), "%s has %s=%q", path, a.Key, a.Val)
			require.NotEqual(t, "style", a.Key, path)
		}
	}
}

func attribute(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func TestAFileShowsItsReasonForWaiting(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	f.Files[0].Status = ingest.StatusDownloading
	f.Progressing["f1"] = orchestrator.Progress{Step: ingest.StepDownload, Attempt: 3, NextTry: noon.Add(12 * time.Second), Failure: "the server hung up", Done: 1 << 20, Total: 3 << 20}
	page := get(c, "/files").Body.String()
	require.Contains(t, page, "attempt 3, next try in 12 s, because: the server hung up")
	require.Contains(t, page, `value="33"`)
	f.Progressing["f1"] = orchestrator.Progress{Step: ingest.StepDownload, Attempt: 1, Running: true, Done: 1 << 20, Total: 3 << 20, Rate: 1 << 20}
	page = get(c, "/files/f1").Body.String()
	require.Contains(t, page, "33%")
	require.Contains(t, page, "1 MiB/s")
	require.Contains(t, page, "2 s left")
	require.Contains(t, page, "http://temporal/namespaces/x/workflows/"+url.PathEscape(temporalnames.IngestWorkflowID("f1")))
	require.Contains(t, page, `<a href="http://minio/browser/b/k" rel="noreferrer">`)
	f.Progressing["f1"] = orchestrator.Progress{Step: ingest.StepUpload, Attempt: 2, Paused: true}
	require.Contains(t, get(c, "/files/f1", "Accept-Language", "ru").Body.String(), "приостановлена в Temporal")
}

func TestFiltersAreKeptInTheAddress(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	for id := range int64(filesPerPage) {
		f.Files = append(f.Files, ingest.File{ID: id + 2})
	}
	page := get(c, "/files?status=error&status=nonsense&error_kind=permission&step=download&server=acme&path=%2A%2A%2F%2A.csv&from=2026-02-01T00%3A00&after=99")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, ingest.FileFilter{
		Server: "acme", Statuses: []ingest.Status{ingest.StatusError}, Path: "**/*.csv", ErrorKinds: []ingest.Kind{ingest.KindPermission}, ErrorSteps: []ingest.Step{ingest.StepDownload}, From: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
		AfterID: 99, Limit: filesPerPage, Order: ingest.OrderNewest,
	}, f.Filter)
	body := page.Body.String()
	require.Contains(t, body, `after=50&amp;error_kind=permission&amp;from=2026-02-01T00%3A00&amp;path=%2A%2A%2F%2A.csv&amp;server=acme&amp;status=error&amp;status=nonsense&amp;step=download`)
	body = get(c, "/files?status=error&server=acme&path=%2A%2A%2F%2A.csv&from=2026-02-01T00%3A00").Body.String()
	require.Contains(t, body, "stevedore file list --from 2026-02-01T00:00:00Z --path &#39;**/*.csv&#39; --server acme --status error")
	require.NotContains(t, body, `name="action"`, "a viewer decides nothing")
	body = get(c, "/files?search=abc&error_kind=permission&step=download").Body.String()
	require.Contains(t, body, "stevedore file list --error-kind permission --search abc --error-step download")
	require.Equal(t, "abc", f.Filter.Search)
	require.Equal(t, http.StatusBadRequest, get(c, "/files?from=yesterday").Code)
}

func TestDecidingOnSeveralFiles(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	f.Matched = 3
	form := url.Values{"action": {"retry"}, "all": {"yes"}, "query": {"server=acme&status=error"}}
	ask := post(c, "/files/act", form)
	for _, text := range []string{"Retry 3 files", `href="/files/f1"`, "and 2 more files", `href="/files?server=acme&amp;status=error"`, `<button class="primary">`, "corrected the permissions"} {
		require.Contains(t, ask.Body.String(), text)
	}
	require.Equal(t, []ingest.Status{ingest.StatusError}, f.Filter.Statuses)
	require.True(t, f.Bulk[len(f.Bulk)-1].DryRun)
	require.Equal(t, "acme", f.Bulk[len(f.Bulk)-1].Filter.Server)

	form.Set("confirmed", "yes")
	form.Set("count", "3")
	require.Equal(t, http.StatusBadRequest, post(c, "/files/act", form).Code, "a reason is asked for")
	form.Set("reason", "the partner called")
	done := post(c, "/files/act", form)
	require.Contains(t, done.Body.String(), "Action applied to 3 files.")
	require.EqualValues(t, 3, *f.Bulk[len(f.Bulk)-1].Expected, "what was shown is what is done")
	require.Equal(t, "the partner called", f.Bulk[len(f.Bulk)-1].Details.Reason)
	require.NotContains(t, done.Body.String(), "Continue with")

	f.Matched, f.BatchSize = 3, 2
	require.Contains(t, post(c, "/files/act", form).Body.String(), `<input type="hidden" name="cursor" value="behind-4">`)
	form.Set("cursor", "behind-4")
	post(c, "/files/act", form)
	require.Equal(t, "behind-4", f.Bulk[len(f.Bulk)-1].Cursor, "it continues after the refused files")

	one := url.Values{"action": {"skip"}, "file": {"f1"}, "query": {""}}
	f.Matched = 1
	skip := post(c, "/files/act", one).Body.String()
	for _, text := range []string{"Skip 1 file", `<button class="danger">`, "the partner withdrew the file"} {
		require.Contains(t, skip, text)
	}
	require.NotContains(t, skip, "more file")
	require.Equal(t, []string{"f1"}, f.Bulk[len(f.Bulk)-1].Filter.UUIDs)
	require.Equal(t, http.StatusBadRequest, post(c, "/files/act", url.Values{"action": {"skip"}}).Code, "nothing is ticked")
	require.Equal(t, http.StatusBadRequest, post(c, "/files/act", url.Values{"action": {"drop"}, "all": {"yes"}}).Code)
}

func TestDecidingOnOneFile(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	answer := post(c, "/files/f1/act", url.Values{"action": {"retry"}, "from": {"upload"}, "reason": {"again"}})
	require.Equal(t, http.StatusSeeOther, answer.Code)
	require.Equal(t, []string{`retry f1 from "upload" by ann: again`}, f.Calls)
	notice := answer.Result().Cookies()[0]
	require.Contains(t, get(c, "/files/f1", "Cookie", notice.Name+"="+notice.Value).Body.String(), "Retry requested.")
	f.Err = ingest.Errorf(ingest.KindConflict, "the file is not failed")
	answer = post(c, "/files/f1/act", url.Values{"action": {"skip"}, "reason": {"x"}})
	require.Equal(t, http.StatusSeeOther, answer.Code)
	require.Contains(t, answer.Result().Cookies()[0].Value, "not+failed")
	f.Calls = nil
	post(c, "/files/f1/act", url.Values{"action": {"skip"}, "reason": {" "}})
	require.Empty(t, f.Calls)
}

func TestServerForm(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	form := url.Values{
		"name": {"acme"}, "host": {"sftp.example.com"}, "port": {"2222"}, "username": {"u"}, "password": {"canary"}, "include": {"*.csv\r\n\r\n*.xml"},
		"private_key": {"a\r\nb"}, "settle": {""}, "scan_interval": {"5m"}, "max_parallel": {"2"}, "root_path": {"/"}, "after_ingest": {"keep"}, "read_once": {"true"},
	}
	require.Equal(t, "/servers/acme", post(c, "/servers", form).Header().Get("Location"))
	require.Equal(t, []string{"*.csv", "*.xml"}, f.Added.Server.Include)
	require.Equal(t, 2222, f.Added.Server.Port)
	require.EqualValues(t, -1, f.Added.Server.Settle, "the default")
	require.Equal(t, "a\nb", string(f.Added.Credentials.PrivateKey))
	require.True(t, f.Added.Server.ReadOnce)

	f.Err = ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: []ingest.FieldError{{Field: "host", Message: "host: use a name"}, {Field: "credentials", Message: "give one"}}}, "no")
	refused := post(c, "/servers", form)
	require.Equal(t, http.StatusBadRequest, refused.Code)
	for _, text := range []string{"host: use a name", "give one", `value="2222"`} {
		require.Contains(t, refused.Body.String(), text)
	}
	require.NotContains(t, refused.Body.String(), "canary", "secrets are never sent back")
	requireDescribed(t, refused.Body.String(), "host", "host: use a name")
	form.Set("port", "x")
	form.Set("settle", "soon")
	refused = post(c, "/servers", form)
	require.Contains(t, refused.Body.String(), "use a whole number")
	require.Contains(t, refused.Body.String(), "use a duration such as")

	f.Err = nil
	form.Set("settle", "")
	form.Set("port", "22")
	form.Set("after_ingest", "move")
	form.Set("move_to", " /done")
	post(c, "/servers", form)
	require.EqualValues(t, "move:/done", f.Added.Server.AfterIngest)
	f.Servers = []ingest.Server{{UUID: "s1", Name: "acme", PasswordEncrypted: []byte("sealed"), AfterIngest: "move:/done", Transfer: ingest.TransferAuto, MaxDepth: ingest.MaxDepth}}
	page := get(c, "/servers/acme/edit").Body.String()
	require.Contains(t, page, `name="after_ingest" value="move" checked`)
	require.Contains(t, page, `name="move_to" value="/done"`)
	require.Contains(t, page, "<details><summary>Advanced settings", "folded without advanced settings")
	f.Servers[0].MinAge = time.Minute
	require.Contains(t, get(c, "/servers/acme/edit").Body.String(), "<details open><summary>Advanced settings")
	form.Set("port", "22")
	form.Set("settle", "5s")
	form.Set("version", operations.ServerVersion(f.Servers[0]))
	form.Set("password", "")
	form.Set("remove_private_key", "yes")
	require.Equal(t, http.StatusSeeOther, post(c, "/servers/acme/edit", form).Code)
	require.Equal(t, "edit acme", f.Calls[len(f.Calls)-1])
	require.Nil(t, f.Edited.Password, "an empty field keeps what is there")
	require.NotNil(t, f.Edited.PrivateKey)
	require.Empty(t, f.Edited.PrivateKey)
}

// requireDescribed requires that a field refers to its problem for screen readers, and
// that every referenced description exists.
func requireDescribed(t *testing.T, page, field, problem string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	texts, described := map[string]string{}, map[string]string{}
	for node := range root.Descendants() {
		if id := attribute(node, "id"); id != "" {
			for part := range node.Descendants() {
				if part.Type == html.TextNode {
					texts[id] += part.Data
				}
			}
			texts[id] += " "
		}
		if by := attribute(node, "aria-describedby"); by != "" {
			described[attribute(node, "id")] = by
		}
	}
	read := ""
	for id := range strings.FieldsSeq(described[field]) {
		read += texts[id]
	}
	require.Contains(t, read, problem)
	for name, ids := range described {
		for id := range strings.FieldsSeq(ids) {
			require.Contains(t, texts, id, name)
		}
	}
}

func TestColumnsHaveHeads(t *testing.T) {
	t.Parallel()
	_, c := full(ingest.RoleAdmin)
	for _, path := range []string{"/", "/servers", "/servers/acme", "/files", "/scans", "/audits", "/audits/a1", "/audit-log", "/tokens"} {
		page := get(c, path).Body.String()
		require.Contains(t, page, `<th scope="col"`, path)
		require.Equal(t, strings.Count(page, `<th scope="col"`), strings.Count(page, "<th")-strings.Count(page, "<thead"), path)
	}
}

func TestApprovingAHostKey(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleAdmin)
	f.Tested = operations.TestResult{Server: f.Servers[0], Presented: operations.ProbeResult{Fingerprint: "SHA256:abc", Software: hostile}}
	f.Err = ingest.Errorf(ingest.KindHostKey, "its key is not pinned")
	page := post(c, "/servers/acme/test", nil)
	require.Contains(t, page.Body.String(), "SHA256:abc")
	require.Contains(t, page.Body.String(), "its key is not pinned")
	require.Contains(t, page.Body.String(), "Pin this key")
	requireInert(t, "test", page.Body.String())
	post(c, "/servers/acme/approve", url.Values{"fingerprint": {"SHA256:abc"}, "expires": {"2027-01-31"}})
	require.Equal(t, []string{"test acme", "test acme, approve SHA256:abc, expires 2027-01-31"}, f.Calls)
	setRole(f, ingest.RoleOperator)
	require.NotContains(t, post(c, "/servers/acme/test", nil).Body.String(), "Pin this key</button>")
}

func TestPartsThatAreDownAreNamed(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleViewer)
	require.Empty(t, strings.TrimSpace(get(c, "/health").Body.String()))
	f.Parts = []operations.PartStatus{{Part: "worker", Err: ingest.Errorf(ingest.KindTransient, "no worker polls: start one")}, {Part: "postgres"}}
	body := get(c, "/health").Body.String()
	require.Contains(t, body, "no worker polls: start one")
	require.NotContains(t, body, "PostgreSQL")
	f.ReadErr = io.ErrUnexpectedEOF
	answer := get(c, "/servers")
	require.Equal(t, http.StatusInternalServerError, answer.Code)
	require.NotContains(t, answer.Body.String(), "unexpected EOF", "inner errors stay inside")
	exhaust(f, c)
	require.Equal(t, http.StatusTooManyRequests, get(c, "/servers").Code)
}

// TestOpenPagesLearnThatPostgreSQLIsDown: the health banner works although sessions are
// stored in PostgreSQL, and reveals nothing else.
func TestOpenPagesLearnThatPostgreSQLIsDown(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleAdmin)
	f.Parts = []operations.PartStatus{{Part: "broker", Err: ingest.Errorf(ingest.KindTransient, "inner-address refuses")}}
	f.SessionErr = ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL at inner-address")
	answer := get(c, "/health", "Hx-Request", "true")
	require.Equal(t, http.StatusOK, answer.Code)
	require.Contains(t, answer.Body.String(), "<strong>PostgreSQL:</strong> unavailable")
	require.NotContains(t, answer.Body.String(), "inner-address")
	require.Equal(t, http.StatusServiceUnavailable, get(c, "/files").Code)
	f.SessionErr = access.ErrRefused
	expired := get(c, "/health", "Hx-Request", "true")
	require.Equal(t, http.StatusUnauthorized, expired.Code)
	require.Equal(t, "true", expired.Header().Get("Hx-Refresh"))
}

func TestANewTokenIsShownOnce(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	made := post(c, "/tokens", url.Values{"name": {"ci2"}, "role": {"viewer"}, "days": {"30"}})
	assert.Contains(t, made.Body.String(), "stv_secret")
	assert.NotContains(t, get(c, "/tokens").Body.String(), "stv_secret")
	assert.Equal(t, http.StatusBadRequest, post(c, "/tokens", url.Values{"name": {"x"}, "days": {"-1"}}).Code)
	f.Err = ingest.Errorf(ingest.KindConflict, "exists already")
	assert.Contains(t, post(c, "/tokens", url.Values{"name": {"ci2"}, "role": {"viewer"}}).Body.String(), "exists already")
}

func TestAnAuditIsStartedAndShown(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	started := post(c, "/audits", url.Values{"server": {"acme"}, "deep": {"yes"}})
	require.Equal(t, "/audits/a1", started.Header().Get("Location"))
	require.Equal(t, []string{"audit [acme], deep true"}, f.Calls)
	for seq := range int64(discrepanciesPerPage) {
		f.Discrepancies = append(f.Discrepancies, ingest.Discrepancy{Seq: seq + 2, Mark: "-"})
	}
	page := get(c, "/audits/a1").Body.String()
	f.AuditRuns[0].NotAudited = 3
	require.Contains(t, get(c, "/audits/a1").Body.String(), "<strong>3</strong><span>? not audited</span>")
	for _, text := range []string{"missing", "/files/f1", "/audits/a1?after=200", "workflows/audit%2Fa1"} {
		require.Contains(t, page, text)
	}
	f.Discrepancies = f.Discrepancies[:1]
	size := int64(4096)
	f.Discrepancies[0].Sides = ingest.AuditSides{
		Source: ingest.AuditSide{State: ingest.SideSame, Size: &size}, Ledger: ingest.AuditSide{State: ingest.SideWrong, Status: ingest.StatusVanished, SHA256: strings.Repeat("ab", 32)},
		Object: ingest.AuditSide{State: ingest.SideMissing},
	}
	require.Equal(t, []string{
		"Source: = present 4,096 bytes", "Ledger: ! differs vanished abababababab…", "Object: − missing", "Notification: ? not compared",
	}, sidesOf(t, get(c, "/audits/a1").Body.String()))
}

// sidesOf returns the cells of the four places.
func sidesOf(t *testing.T, page string) (cells []string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for node := range root.Descendants() {
		if node.Data != "td" || attribute(node, "class") != "side" {
			continue
		}
		text := attribute(node, "data-label") + ":"
		for part := range node.Descendants() {
			if part.Type == html.TextNode {
				text += " " + part.Data
			}
		}
		cells = append(cells, strings.Join(strings.Fields(text), " "))
	}
	return cells
}

func TestThroughputAndFailuresOfEachServer(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	f.Hours = ingest.NoHours(noon)
	f.Hours[3].Completed, f.Hours[3].Bytes, f.Hours[3].Failures, f.Hours[9].Completed = 3, 5<<20, 1, 1
	for _, path := range []string{"/servers/acme", "/"} {
		page := get(c, path).Body.String()
		require.Contains(t, page, "4 files completed · 5 MiB · 1 failure", path)
		require.Contains(t, page, "UTC: 3 files completed · 5 MiB · 1 failure<", path)
		require.Equal(t, 48, strings.Count(page, `class="slot"`), "files and bytes of %s", path)
	}
	for _, path := range []string{"/servers", "/"} {
		_, spark, _ := strings.Cut(get(c, path).Body.String(), `class="spark"`)
		spark, _, _ = strings.Cut(spark, "</svg>")
		require.Contains(t, spark, `class="ok" d="M60 100v-75h14v75zM180 100v-25h14v25z"`, path)
		require.Contains(t, spark, `class="bad" d="M60 25v-25h14v25z"`, path)
		require.Contains(t, spark, "By the hour: 4 files completed · 5 MiB · 1 failure")
	}
	page := get(c, "/").Body.String()
	require.Contains(t, page, `<a href="#activity"><strong>1</strong><span>failed in 24 h`, "the link leads to what was counted")
	require.Contains(t, page, `id="activity"`)
}

func TestAssetsAreCompressed(t *testing.T) {
	t.Parallel()
	_, c := as(ingest.RoleViewer)
	files, err := fs.Glob(static, "static/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	plain, compressed := 0, 0
	for _, file := range files {
		whole := get(c, "/"+file)
		small := get(c, "/"+file, "Accept-Encoding", "gzip")
		require.Equal(t, http.StatusOK, small.Code, file)
		plain, compressed = plain+whole.Body.Len(), compressed+small.Body.Len()
		if small.Header().Get("Content-Encoding") != "gzip" {
			require.Equal(t, whole.Body.Bytes(), small.Body.Bytes(), file)
			continue
		}
		unpacked, err := gzip.NewReader(small.Body)
		require.NoError(t, err)
		content, err := io.ReadAll(unpacked)
		require.NoError(t, err)
		require.Equal(t, whole.Body.Bytes(), content, file)
	}
	require.Less(t, 2*compressed, plain)
	t.Logf("assets: %d bytes, %d compressed", plain, compressed)
	require.Empty(t, get(c, "/", "Accept-Encoding", "gzip").Header().Get("Content-Encoding"))
}

// TestEmptyCellsAreEmpty: the phone layout hides empty cells.
func TestEmptyCellsAreEmpty(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	f.Servers[0].LastError = ""
	require.Contains(t, get(c, "/servers").Body.String(), `<td data-label="Last error" class="why"></td>`)
}

func TestSettingsAreTestedBeforeTheyAreSaved(t *testing.T) {
	t.Parallel()
	f, c := as(ingest.RoleAdmin)
	f.Tested = operations.TestResult{Server: ingest.Server{UUID: "s1"}, Presented: operations.ProbeResult{Fingerprint: "SHA256:abc", KeyLine: "ssh-ed25519 AAAAkey"}}
	f.Tested.Presented.Sample = &operations.Sample{Included: 2, Rejected: 1, Unreadable: 1, Paths: []string{"a.csv"}, Unmatched: ingest.Unmatched{Count: 3, Example: "b.tmp"}, Omitted: []operations.OmittedEntry{
		{Path: "b.tmp", Omission: ingest.Omission{Reason: ingest.OmitInProgress, Detail: "*.tmp"}}, {Path: "c.csv", Omission: ingest.Omission{Reason: ingest.OmitWaiting, Detail: "c.csv.done"}},
	}}
	form := url.Values{"name": {"acme"}, "host": {"h"}, "port": {"22"}, "password": {"canary"}, "certificate": {"cert\r\n"}, "sample": {"yes"}}
	page := post(c, "/servers/test", form)
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, []string{"test settings, sample"}, f.Calls)
	require.Equal(t, "canary", string(f.Added.Credentials.Password))
	require.Equal(t, "cert", string(f.Added.Certificate))
	for _, text := range []string{"SHA256:abc", `data-add-key="ssh-ed25519 AAAAkey"`, "a.<wbr>csv", "Not ingested: 2", "excluded by the patterns: 3, e.g. b.tmp", "Unreadable folders: 1", `value="acme"`, "name of a file in progress, *.tmp", "waits for c.csv.done"} {
		require.Contains(t, page.Body.String(), text)
	}
	require.NotContains(t, page.Body.String(), "canary")

	f.Tested.Server.HostKeys, f.Tested.Presented.Fingerprint = []string{"ssh-ed25519 AAAA"}, operations.Fingerprint("ssh-ed25519 AAAA")
	require.NotContains(t, post(c, "/servers/test", form).Body.String(), "data-add-key", "the key is pinned")

	f.Tested = operations.TestResult{}
	f.Err = ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: []ingest.FieldError{{Field: "host", Message: "host: use a name"}}}, "no")
	page = post(c, "/servers/test", form)
	require.Equal(t, http.StatusOK, page.Code, "htmx shows only successful answers")
	_, draft, _ := strings.Cut(page.Body.String(), `id="draft"`)
	require.Contains(t, draft, "host: use a name")

	f.Calls, f.Err, f.Tested = nil, nil, operations.TestResult{Server: ingest.Server{UUID: "s1"}}
	f.Servers = []ingest.Server{{UUID: "s1", Name: "acme"}}
	form.Set("version", operations.ServerVersion(f.Servers[0]))
	form.Set("password", "")
	page = post(c, "/servers/acme/edit/test", form)
	require.Equal(t, []string{"test edit of acme, sample"}, f.Calls)
	require.Nil(t, f.Edited.Password, "the stored one is used")
	require.Contains(t, page.Body.String(), "OK: connected")
	require.Contains(t, page.Body.String(), `hx-post="/servers/acme/edit/test"`)
}

// TestEveryAPISettingHasAField: the form has a field for each setting and credential.
func TestEveryAPISettingHasAField(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../openapi.yaml")
	require.NoError(t, err)
	_, c := as(ingest.RoleAdmin)
	form := get(c, "/servers/new").Body.String()
	fields := doc.Components.Schemas["ServerSettings"].Value.Properties
	require.NotEmpty(t, fields)
	for field := range fields {
		assert.Contains(t, form, ` name="`+field+`"`)
	}
}

func TestAnEmptyChartShowsItsCause(t *testing.T) {
	t.Parallel()
	for state, cause := range idleReasons {
		assert.Equal(t, cause, idleReason([]ingest.Health{state}))
		assert.Equal(t, idleReasons[ingest.HealthOK], idleReason([]ingest.Health{state, ingest.HealthOK}), "files of the other server could arrive")
	}
	assert.Equal(t, idleReasons[ingest.HealthOK], idleReason([]ingest.Health{ingest.HealthHeld}), "it is scanned")
	f, c := full(ingest.RoleViewer)
	f.Servers[0].Active = false
	assert.Contains(t, get(c, "/").Body.String(), "Resume a server.")
	assert.Contains(t, get(c, "/servers/acme").Body.String(), "Resume a server.")
}

func TestFailuresAreGroupedByCause(t *testing.T) {
	t.Parallel()
	_, c := full(ingest.RoleOperator)
	page := get(c, "/").Body.String()
	query := "error_kind=permission&amp;server=acme&amp;status=error&amp;step=download"
	require.Contains(t, page, `href="/files?`+query+`">2 failed files</a>`)
	require.Contains(t, page, `<input type="hidden" name="query" value="`+query+`">`)
	require.Contains(t, page, "Access denied.")
	_, c = full(ingest.RoleViewer)
	require.NotContains(t, get(c, "/").Body.String(), `action="/files/act"`)
}

func TestScanShowsExcludedFiles(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	f.Listings[0].Excluded.Example, f.Listings[0].RequestedBy = "b.tmp", "ann"
	page := get(c, "/scans/1").Body.String()
	for _, text := range []string{"the patterns exclude everything: 3 entries, e.g. b.tmp", "ann"} {
		require.Contains(t, page, text)
	}
	require.Equal(t, http.StatusNotFound, get(c, "/scans/x").Code)
	f.Listings[0].Source = ingest.SourceSchedule
	require.Contains(t, get(c, "/scans").Body.String(), `<td data-label="Requested by">schedule</td>`)
}

func TestActivityOfPeriods(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	f.Servers[0].LastError, f.Servers[0].HostKeys, f.Servers[0].LastScanAt = "", []string{"key"}, noon
	require.Contains(t, get(c, "/").Body.String(), "No files completed or failed in this period.")
	f.Hours = []ingest.HourStats{{Start: noon.AddDate(0, 0, -8), Completed: 3, Bytes: 3 << 20}}
	require.Contains(t, get(c, "/?period=7d").Body.String(), "No files completed or failed in this period.")
	page := get(c, "/?period=30d").Body.String()
	for _, text := range []string{"3 files completed · 3 MiB", "<span>02-24</span>", "<span>4 MiB</span>", "<span>2 MiB</span>", `href="/?period=30d" aria-current`} {
		require.Contains(t, page, text)
	}
	require.Equal(t, 60, strings.Count(page, `class="slot"`))
	for n, want := range map[int64]int64{0: 2, 3: 4, 11: 20, 999: 1000, 1001: 2048, 5 << 20: 6 << 20} {
		require.Equal(t, want, axisTop(n), n)
	}
}
