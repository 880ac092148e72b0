package console

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"stevedore/api/web"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
)

// latin matches words in Latin letters. neutral has the words that are the same in every
// language: names and input.
var (
	latin   = regexp.MustCompile(`[A-Za-z]{2,}`)
	neutral = map[string]bool{}
)

func init() {
	for _, word := range strings.Fields(`stevedore Temporal PostgreSQL UTC API CLI curl SHA UUID SSH DNS IP PEM CSV JSON Lines ssh ed AAAA csv done RU EN STEVEDORE TOKEN
		acme ann ci keep delete move dir socks http host port OpenSSH PuTTY OPENSSH BEGIN PRIVATE KEY`) {
		neutral[word] = true
	}
}

// requireRussian fails for every visible English word of a page that is not marked as
// English, code, path or name.
func requireRussian(t *testing.T, page string, answer *httptest.ResponseRecorder) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(answer.Body.String()))
	require.NoError(t, err)
	check := func(text string) {
		for _, word := range latin.FindAllString(text, -1) {
			assert.True(t, neutral[word], "%s has %q in %q", page, word, strings.TrimSpace(text))
		}
	}
	var walk func(*html.Node)
	walk = func(node *html.Node) {
		if node.Type == html.TextNode {
			check(node.Data)
		}
		if node.Type == html.ElementNode {
			if slices.Contains([]string{"code", "kbd", "bdi", "script", "style", "time"}, node.Data) || attribute(node, "lang") == "en" {
				return
			}
			for _, name := range []string{"aria-label", "title", "placeholder", "data-label", "data-confirm", "data-away", "data-refused", "data-paused"} {
				if name != "title" || attribute(node, "data-copy") == "" && !strings.Contains(attribute(node, "class"), "why") {
					check(attribute(node, name))
				}
			}
		}
		for child := range node.ChildNodes() {
			walk(child)
		}
	}
	walk(root)
}

// populated returns a console with content on every page, and English messages of other
// components.
func populated() (*servicedouble.Service, *Console) {
	f, c := as(ingest.RoleAdmin)
	const english = "an English message"
	size := int64(21)
	side := ingest.AuditSide{State: ingest.SideSame, Status: ingest.StatusCompleted, Size: &size, SHA256: "abc", ModTime: noon, Count: 2}
	f.AuditRuns = []ingest.AuditRun{{UUID: "a1", Actor: "ann", State: ingest.AuditFailed, Error: english}, {Actor: "ann", State: ingest.AuditCompleted}, {Actor: "ann", State: ingest.AuditRunning}}
	f.Discrepancies = []ingest.Discrepancy{{Seq: 1, Mark: "-", What: "acme:/in/a.csv", Why: english, FileUUID: "f1", Sides: ingest.AuditSides{Source: side, Ledger: side, Object: ingest.AuditSide{State: ingest.SideMissing}, Notification: ingest.AuditSide{State: ingest.SideWrong}}}, {Seq: 2, Mark: "+", What: "files/a.csv", Why: english}, {Seq: 3, Mark: "!"}, {Seq: 4, Mark: "?", What: "acme:/in", Why: english}}
	server := ingest.Server{
		UUID: "1", Name: "acme", Host: "127.0.0.1", Port: 22, Username: "1", Active: true, State: ingest.ServerOK, LastError: english, RootPath: "/1",
		Include: []string{"*.csv"}, Exclude: []string{"*.csv"}, DoneMarker: "*.done", MinAge: time.Minute, SidecarWait: time.Minute, AfterIngest: "keep",
		PasswordEncrypted: []byte{1}, PrivateKeyEncrypted: []byte{1}, ReadOnce: true, LegacyAlgorithms: true, LastScanAt: noon, ScanInterval: time.Hour,
	}
	f.Servers = []ingest.Server{server}
	for i, status := range ingest.Statuses {
		f.Files = append(f.Files, ingest.File{
			ID: int64(i), UUID: "f1", ServerName: "acme", RemotePath: "/in/a.csv", Filename: "1.csv", Size: 3 << (10 * (i % 5)), Status: status, CreatedAt: noon,
			UpdatedAt: noon, CompletedAt: noon, WaitsFor: "", ErrorMessage: english, ErrorKind: ingest.KindHashMismatch, Bucket: "b", ObjectKey: "k", Hash: "abc",
		})
	}
	for _, kind := range strings.Fields(eventTypes) {
		f.Events = append(f.Events, ingest.StoredEvent{Type: ingest.EventType(kind), Timestamp: noon, Details: map[string]any{"reason": english}})
	}
	f.Progressing = map[string]orchestrator.Progress{"f1": {Step: ingest.StepDownload, Attempt: 3, NextTry: noon.Add(time.Minute), Failure: english, Done: 1, Total: 2, Rate: 1, Running: true}}
	f.Log = []ingest.AuditEntry{{At: noon, Actor: "ann", Role: ingest.RoleAdmin, Action: "server.edit", Target: "acme", Details: map[string]any{"role": english}, Outcome: ingest.ActionFailed, Error: english}, {At: noon, Outcome: ingest.ActionDone}}
	f.Failures = []ingest.FailureGroup{{ServerName: "acme", Kind: ingest.KindPermission, Step: ingest.StepDownload, Count: 2, Since: noon, Message: english}, {ServerName: "acme", Count: 1}}
	f.Listings = []ingest.Scan{{ID: 1, ServerName: "acme", StartedAt: noon, FinishedAt: noon, Error: english, ScanOrigin: ingest.ScanOrigin{Source: ingest.SourceSchedule}}, {ServerName: "acme", ServerRemoved: true, StartedAt: noon}}
	f.Parts = []operations.PartStatus{
		{Part: operations.PartPostgres, Err: errors.New(english)}, {Part: operations.PartTemporal, Err: errors.New(english)}, {Part: operations.PartWorker, Err: errors.New(english)},
		{Part: operations.PartObjectStore, Err: errors.New(english)}, {Part: operations.PartBroker, Err: errors.New(english)},
	}
	f.Tested = operations.TestResult{Server: server, Presented: operations.ProbeResult{Fingerprint: "SHA256:1", Software: english}}
	f.Tested.Presented.Sample = &operations.Sample{}
	for _, reason := range ingest.OmissionReasons {
		f.Tested.Presented.Sample.Omitted = append(f.Tested.Presented.Sample.Omitted, operations.OmittedEntry{Path: "/in/a.csv", Omission: ingest.Omission{Reason: reason, Detail: "1"}})
	}
	return f, c
}

var inRussian = []string{"Accept-Language", "ru"}

func TestEveryPageIsRussian(t *testing.T) {
	t.Parallel()
	f, c := populated()
	for _, path := range append(pagesOf(c), healthPath) {
		requireRussian(t, path, get(c, path, inRussian...))
	}
	for path, form := range posted {
		requireRussian(t, "form "+path, post(c, path, form, inRussian...))
	}
	for _, file := range f.Files { // every status has its own texts
		f.Files = []ingest.File{file}
		requireRussian(t, "file "+string(file.Status), get(c, "/files/f1", inRussian...))
		f.Progressing = nil
		requireRussian(t, "files "+string(file.Status), get(c, "/files", inRussian...))
	}
	f.Servers, f.Files, f.Log, f.Listings = nil, nil, nil, nil
	for _, path := range []string{"/", "/servers", "/files", "/files?server=acme", "/scans", "/audit-log", "/audit-log?actor=ann"} {
		requireRussian(t, "empty "+path, get(c, path, inRussian...))
	}
	endSession(f)
	requireRussian(t, "login page", get(c, "/login", inRussian...))
	requireRussian(t, "login page", post(c, "/login", url.Values{"token": {"wrong"}}, inRussian...))
	requireRussian(t, "login page", post(c, "/login", url.Values{}, inRussian...))
}

func TestEveryRefusalIsRussian(t *testing.T) {
	t.Parallel()
	f, c := populated()
	refusal := func(what string, status int, answer *httptest.ResponseRecorder) {
		t.Helper()
		assert.Equal(t, status, answer.Code, what)
		requireRussian(t, what, answer)
	}
	refusal("no page", http.StatusNotFound, get(c, "/nowhere", inRussian...))
	refusal("no server", http.StatusNotFound, get(c, "/servers/other", inRussian...))
	refusal("from", http.StatusBadRequest, get(c, "/files?from=x", inRussian...))
	refusal("to", http.StatusBadRequest, get(c, "/files?to=x", inRussian...))
	refusal("format", http.StatusBadRequest, get(c, "/audit-log/export?format=x", inRussian...))
	refusal("language", http.StatusBadRequest, post(c, "/language", url.Values{"language": {"!"}}, inRussian...))
	refusal("other site", http.StatusForbidden, post(c, "/scan", nil, append(inRussian, "Sec-Fetch-Site", "cross-site")...))
	refusal("too large", http.StatusRequestEntityTooLarge, post(c, "/servers", url.Values{"name": {strings.Repeat("x", web.MaxBody)}}, inRussian...))
	refusal("no files", http.StatusBadRequest, post(c, "/files/act", url.Values{"action": {"retry"}}, inRussian...))
	refusal("no action", http.StatusBadRequest, post(c, "/files/act", nil, inRussian...))
	refusal("no action", http.StatusBadRequest, post(c, "/files/1/act", nil, inRussian...))
	refusal("no filter", http.StatusBadRequest, post(c, "/files/act", url.Values{"query": {"%"}}, inRussian...))
	refusal("days", http.StatusBadRequest, post(c, "/tokens", url.Values{"days": {"x"}}, inRussian...))
	refusal("numbers", http.StatusBadRequest, post(c, "/servers", url.Values{"port": {"x"}, "settle": {"x"}}, inRussian...))
	setRole(f, ingest.RoleViewer)
	refusal("role", http.StatusForbidden, get(c, "/tokens", inRussian...))
	setRole(f, ingest.RoleAdmin)
	guard := c.d.Guard
	exhaust(f, c)
	refusal("too many", http.StatusTooManyRequests, get(c, "/files", inRussian...))
	c.d.Guard, f.SessionErr = guard, ingest.Errorf(ingest.KindTransient, "PostgreSQL is away")
	refusal("no session", http.StatusServiceUnavailable, get(c, "/files", inRussian...))
	refusal("no session", http.StatusOK, get(c, "/health", inRussian...))
}

// TestOriginalMessagesAreMarkedEnglish: each kind of error and each field has a Russian
// headline, and the original message is marked as English.
func TestOriginalMessagesAreMarkedEnglish(t *testing.T) {
	t.Parallel()
	f, c := populated()
	for kind := range kindTexts {
		f.ReadErr = ingest.Errorf(kind, "original message")
		page := get(c, "/files", inRussian...)
		requireRussian(t, string(kind), page)
		require.Contains(t, page.Body.String(), `<span lang="en" class="original">original message</span>`, kind)
		require.NotContains(t, get(c, "/files").Body.String(), `class="original"`, "English pages show it once")
	}
	f.ReadErr = nil
	var fields []ingest.FieldError
	for _, setting := range ingest.Settings {
		fields = append(fields, ingest.FieldError{Field: setting.Field, Message: "use something else"})
	}
	for _, name := range append(slices.Clone(secretFields), "credentials", "other") {
		fields = append(fields, ingest.FieldError{Field: name, Message: "use something else"})
	}
	f.Err = ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: fields}, "no")
	refused := post(c, "/servers", url.Values{"port": {"1"}}, inRussian...)
	requireRussian(t, "form", refused)
	require.Equal(t, len(fields), strings.Count(refused.Body.String(), "use something else"))
	requireRussian(t, "tokens", post(c, "/tokens", url.Values{"name": {"1"}}, inRussian...))
	for _, err := range []error{ingest.ErrStale, ingest.ErrNotFound} {
		f.Err = ingest.Wrap(ingest.KindConflict, err, "original message")
		requireRussian(t, err.Error(), post(c, "/servers/acme/edit", url.Values{"port": {"1"}}, inRussian...))
	}
	f.Err = ingest.Errorf(ingest.KindHostKey, "original message")
	requireRussian(t, "test", post(c, "/servers/acme/test", nil, inRussian...))
	f.Err = ingest.Errorf(ingest.KindConflict, "original message")
	notice := post(c, "/files/f1/act", url.Values{"action": {"skip"}, "reason": {"1"}}, inRussian...).Result().Cookies()[0]
	page := get(c, "/files/f1", append(inRussian, "Cookie", notice.Name+"="+notice.Value)...)
	requireRussian(t, "notice", page)
	require.Contains(t, page.Body.String(), `<span lang="en" class="original">original message</span>`)
}
