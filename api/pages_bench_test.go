package api

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

const (
	// pagesVariable names the variable with the number of files in the ledger of
	// BenchmarkPages; without it the benchmark is skipped.
	pagesVariable = "STEVEDORE_TEST_BENCH_ROWS"
	pagesRuns     = 200
	// pageBudget is the time limit of a page.
	pageBudget = 100 * time.Millisecond
)

// timing is the duration of a request in many runs.
type timing struct {
	name        string
	median, p95 time.Duration
	most        time.Duration
	found       string
}

// BenchmarkPages measures every page of the API and of the console on a large
// ledger: the time in the real handler on the real store, from request to the
// last byte. /livez through the same handler is the floor. It prints one table,
// and the bytes that a browser with an empty cache loads for the console.
func BenchmarkPages(b *testing.B) {
	text := os.Getenv(pagesVariable)
	if text == "" {
		b.Skipf("%s is not set: run `make bench`", pagesVariable)
	}
	rows, err := strconv.Atoi(text)
	require.NoError(b, err, pagesVariable)
	require.Positive(b, rows, pagesVariable)
	dsn := services.Database(b)
	began := time.Now()
	services.FillLedger(b, dsn, rows)
	b.Logf("%d files with six events each written in %s", rows, time.Since(began).Round(time.Second))
	ledger, err := store.New(b.Context(), store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	b.Cleanup(ledger.Close)
	for range 1 + rows/10_000 { // each run folds a part, as workers do
		_, err = ledger.Stats(b.Context())
		require.NoError(b, err)
	}
	// Requests to Temporal for files in flight have a timeout and are not measured.
	ops := operations.New(operations.Deps{Ledger: ledger, Orchestrator: &fakeEngine{}})
	tokens := access.New(ledger, quiet())
	handler := NewHandler(Deps{
		Operations: ops, Access: tokens, Token: testToken, Log: quiet(), RequestsPerSecond: 1e6,
	})
	var timings []timing
	var first string
	for b.Loop() {
		timings = nil
		for _, page := range pagesOf(b, handler, rows) {
			timings = append(timings, measure(page[0], func() string {
				return fmt.Sprintf("%d KiB", get(b, handler, page[1]).Body.Len()>>10)
			}))
		}
		cookie, err := tokens.OpenSession(b.Context(), sha256.Sum256([]byte(testToken)))
		require.NoError(b, err)
		for _, page := range consolePages(b, handler, rows) {
			timings = append(timings, measure("console: "+page[0], func() string {
				return fmt.Sprintf("%d KiB", getPage(b, handler, page[1], cookie).Body.Len()>>10)
			}))
		}
		first = firstLoad(b, handler, cookie)
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			timings = append(timings, measure("count up to 10,000: "+name, func() string {
				count, err := ops.CountFiles(b.Context(), counts[name], 10_000)
				require.NoError(b, err)
				return fmt.Sprintf("%+v", count)
			}))
		}
	}
	printTimings(timings, rows)
	fmt.Println(first)
}

// counts are the filters of the counts that the console shows beside a listing.
var counts = map[string]ingest.FileFilter{
	"all":                     {},
	"status=error":            {Statuses: []ingest.Status{ingest.StatusError}},
	"server":                  {Server: "server-01"},
	"path=**/*_receipt.csv":   {Path: "**/*_receipt.csv"},
	"path of one file's name": {Path: "invoice_000000777.csv"},
	"path=/out/**, error":     {Path: "/out/**", Statuses: []ingest.Status{ingest.StatusError}},
}

// pagesOf returns names and paths of the requests.
func pagesOf(b *testing.B, handler http.Handler, rows int) [][2]string {
	day := time.Now().Add(-15 * 24 * time.Hour).UTC()
	at := func(t time.Time) string { return url.QueryEscape(t.Format(time.RFC3339)) }
	middle := get(b, handler, "/api/v1/files?limit=1&path="+url.QueryEscape(fmt.Sprintf("invoice_%09d.csv", rows/2)))
	file := decodeFiles(b, middle)[0].FileUUID
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	pages := [][2]string{{"floor: /livez", "/livez"}, {"overview", "/api/v1/overview"}}
	for _, list := range [][2]string{
		{"files", ""}, {"status=error", "&status=error"}, {"status=completed", "&status=completed"},
		{"three statuses", "&status=error&status=ready&status=uploading"}, {"server", "&server=server-01"},
		{"server of old", "&server=server-19"}, {"server, status=error", "&server=server-01&status=error"},
		{"hash", "&hash=" + empty}, {"one day", "&from=" + at(day) + "&to=" + at(day.Add(24*time.Hour))},
		{"one day, server, status=error", "&server=server-01&status=error&from=" + at(day) + "&to=" + at(day.Add(24*time.Hour))},
		{"path=/out/**", "&path=" + url.QueryEscape("/out/**")},
		{"path of one day", "&path=" + url.QueryEscape("/out/"+day.Format("2006/01/02")+"/**")},
		{"path of one file", "&path=" + url.QueryEscape(fmt.Sprintf("**/invoice_%09d.csv", rows/3))},
		{"path of nothing", "&path=" + url.QueryEscape("/in/2001/**")},
		{"path=**/*_receipt.csv (nothing)", "&path=" + url.QueryEscape("**/*_receipt.csv")},
		{"the same, status=completed", "&status=completed&path=" + url.QueryEscape("**/*_receipt.csv")},
	} {
		pages = append(pages,
			[2]string{"files: " + list[0], "/api/v1/files?order=oldest" + list[1]},
			[2]string{"files: " + list[0] + ", newest", "/api/v1/files?order=newest" + list[1]})
	}
	return append(pages, [][2]string{
		{"files, 1,000 a page", "/api/v1/files?limit=1000"}, {"file", "/api/v1/files/" + file}, {"events of a file", "/api/v1/files/" + file + "/events"},
		{"servers", "/api/v1/servers"}, {"scans", "/api/v1/scans"}, {"scans of a server", "/api/v1/scans?server=server-19"},
		{"reconciliations", "/api/v1/reconciliations"}, {"audit log", "/api/v1/audit-log"}, {"tokens", "/api/v1/tokens"},
	}...)
}

// consolePages returns names and paths of the console's pages.
func consolePages(b *testing.B, handler http.Handler, rows int) [][2]string {
	middle := get(b, handler, "/api/v1/files?limit=1&path="+url.QueryEscape(fmt.Sprintf("invoice_%09d.csv", rows/2)))
	return [][2]string{
		{"overview", "/"}, {"servers", "/servers"}, {"server", "/servers/server-01"}, {"files", "/files"}, {"files: status=error", "/files?status=error"},
		{"files: server, status=completed", "/files?server=server-01&status=completed"},
		{"files: path=/out/**", "/files?path=" + url.QueryEscape("/out/**")},
		{"files: path=**/*_receipt.csv (nothing)", "/files?path=" + url.QueryEscape("**/*_receipt.csv")},
		{"file", "/files/" + decodeFiles(b, middle)[0].FileUUID}, {"scans", "/scans"}, {"audits", "/audits"}, {"audit-log", "/audit-log"}, {"tokens", "/tokens"},
	}
}

var assetOf = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)

// firstLoad returns a description of the bytes that a browser with an empty
// cache transfers for the overview.
func firstLoad(b *testing.B, handler http.Handler, cookie string) string {
	page := getPage(b, handler, "/", cookie).Body
	assets, sum := map[string]bool{}, 0
	for _, found := range assetOf.FindAllStringSubmatch(page.String(), -1) {
		assets[found[1]] = true
	}
	for path := range assets {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("Accept-Encoding", "gzip")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(b, http.StatusOK, recorder.Code, path)
		sum += recorder.Body.Len()
	}
	return fmt.Sprintf("first load of the console's overview: %d bytes in %d requests; page %d, %d assets %d compressed\n",
		page.Len()+sum, 1+len(assets), page.Len(), len(assets), sum)
}

func getPage(b *testing.B, handler http.Handler, path, cookie string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.AddCookie(&http.Cookie{Name: "stevedore_session", Value: cookie})
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	require.Equal(b, http.StatusOK, recorder.Code, "%s: %s", path, recorder.Body)
	return recorder
}

func get(b *testing.B, handler http.Handler, path string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(http.MethodGet, path, nil)
	request.Header.Set("Authorization", "Bearer "+testToken)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	require.Equal(b, http.StatusOK, recorder.Code, "%s: %s", path, recorder.Body)
	return recorder
}

// measure calls ask many times and returns the durations.
func measure(name string, ask func() string) timing {
	took := make([]time.Duration, pagesRuns)
	found := ""
	for i := range took {
		began := time.Now()
		found = ask()
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return timing{name, took[len(took)/2], took[len(took)*95/100], took[len(took)-1], found}
}

func printTimings(timings []timing, rows int) {
	worst := slices.MaxFunc(timings, func(x, y timing) int { return cmp.Compare(x.p95, y.p95) })
	fmt.Printf("\n%d files, %d events, %d requests each\n", rows, 6*rows, pagesRuns)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', tabwriter.AlignRight|tabwriter.Debug)
	fmt.Fprintln(w, "page\t median ms\t p95 ms\t most ms\t times the floor\t answer\t")
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }
	for _, t := range timings {
		fmt.Fprintf(w, "%s\t %s\t %s\t %s\t %.0f\t %s\t\n", t.name, ms(t.median), ms(t.p95), ms(t.most),
			float64(t.median)/float64(timings[0].median), t.found)
	}
	_ = w.Flush()
	fmt.Printf("slowest p95: %s ms (%s); allowed: %s ms\n\n", ms(worst.p95), worst.name, ms(pageBudget))
}

func decodeFiles(b *testing.B, answer *httptest.ResponseRecorder) []openapi.File {
	var page openapi.FilePage
	require.NoError(b, json.Unmarshal(answer.Body.Bytes(), &page))
	require.NotEmpty(b, page.Files)
	return page.Files
}
