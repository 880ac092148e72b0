package console

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

const (
	filesPerPage = 50
	// countMost bounds the count of matching files, because counting more takes long.
	countMost = 10_000
)

// fileQuery is the filter of the files page, as encoded in its URL.
type fileQuery struct {
	statuses []ingest.Status
	server   string
	// search is a part of the path, the beginning of a uuid, or a SHA-256.
	search   string
	path     string
	kind     ingest.Kind
	step     ingest.Step
	from, to string
	after    int64
}

// minute is the format of datetime-local fields; times are in UTC.
const minute = "2006-01-02T15:04"

func readFileQuery(values url.Values) fileQuery {
	q := fileQuery{
		server: values.Get("server"), search: strings.TrimSpace(values.Get("search")), path: values.Get("path"), from: values.Get("from"), to: values.Get("to"),
	}
	if kind := ingest.Kind(values.Get("error_kind")); kindTexts[kind] != "" {
		q.kind = kind
	}
	if step := ingest.Step(values.Get("step")); stepNames[step] != "" {
		q.step = step
	}
	for _, name := range values["status"] {
		if status := ingest.Status(name); slices.Contains(ingest.Statuses, status) && !slices.Contains(q.statuses, status) {
			q.statuses = append(q.statuses, status)
		}
	}
	q.after, _ = strconv.ParseInt(values.Get("after"), 10, 64)
	return q
}

// filter converts the query for the ledger, or returns its problem.
func (q fileQuery) filter() (ingest.FileFilter, error) {
	filter := ingest.FileFilter{
		Server: q.server, Statuses: q.statuses, Search: q.search, Path: q.path, AfterID: q.after, Limit: filesPerPage, Order: ingest.OrderNewest,
	}
	if q.kind != "" {
		filter.ErrorKinds = []ingest.Kind{q.kind}
	}
	if q.step != "" {
		filter.ErrorSteps = []ingest.Step{q.step}
	}
	for _, bound := range []struct {
		text string
		to   *time.Time
	}{{q.from, &filter.From}, {q.to, &filter.To}} {
		if bound.text == "" {
			continue
		}
		t, err := time.Parse(minute, bound.text)
		if err != nil {
			return filter, newError(ingest.KindInvalid, nil, "First seen: use a time such as 2026-01-31T08:00.")
		}
		*bound.to = t
	}
	return filter, nil
}

// values encodes the query without the position.
func (q fileQuery) values() url.Values {
	values := url.Values{}
	for _, status := range q.statuses {
		values.Add("status", string(status))
	}
	for name, value := range map[string]string{
		"server": q.server, "search": q.search, "path": q.path, "error_kind": string(q.kind), "step": string(q.step), "from": q.from, "to": q.to,
	} {
		if value != "" {
			values.Set(name, value)
		}
	}
	return values
}

// href returns the URL of the page after the position; 0 is the first page.
func (q fileQuery) href(after int64) string {
	values := q.values()
	if after != 0 {
		values.Set("after", strconv.FormatInt(after, 10))
	}
	if len(values) == 0 {
		return "/files"
	}
	return "/files?" + values.Encode()
}

func (q fileQuery) has(s ingest.Status) bool { return slices.Contains(q.statuses, s) }

// empty reports whether there is no filter.
func (q fileQuery) empty() bool { return len(q.values()) == 0 }

// filtered reports whether a filter of the folded part is set.
func (q fileQuery) filtered() bool {
	q.search, q.server = "", ""
	return !q.empty()
}

func serverOptions(servers []ingest.Server) (options [][2]string) {
	for _, server := range servers {
		options = append(options, [2]string{server.Name, server.Name})
	}
	return options
}

func kindOptions(v *view) (options [][2]string) {
	for _, kind := range slices.Sorted(maps.Keys(kindTexts)) {
		options = append(options, [2]string{string(kind), v.kind(kind)})
	}
	return options
}

func stepOptions(v *view) (options [][2]string) {
	for _, info := range ingest.Steps {
		options = append(options, [2]string{string(info.Step), v.step(info.Step)})
	}
	return options
}

// filesPage is the content of the files page.
type filesPage struct {
	query    fileQuery
	files    []ingest.File
	next     int64
	progress map[string]orchestrator.Progress
	servers  []ingest.Server
	// matching counts the files that match the filter, waiting the failed ones of them.
	matching, waiting ingest.Count
}

// selectable reports whether the user can select files on the page.
func (p filesPage) selectable(v *view) bool {
	return v.can(ingest.RoleOperator) &&
		slices.ContainsFunc(p.files, func(f ingest.File) bool { return f.Status == ingest.StatusError })
}

// dirOf returns the folder of a path with its slash, safe to display.
func dirOf(path string) string { return ingest.DisplayPath(path[:strings.LastIndexByte(path, '/')+1]) }

func (c *Console) files(r *http.Request, v *view) (answer, error) {
	page := filesPage{query: readFileQuery(r.URL.Query())}
	filter, err := page.query.filter()
	if err != nil {
		return answer{}, err
	}
	if err := c.fillFiles(r.Context(), &page, filter); err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Files"), body: fileList(v, page)}, nil
}

// fillFiles reads the page's content concurrently, because filters without an index are
// slow.
func (c *Console) fillFiles(ctx context.Context, page *filesPage, filter ingest.FileFilter) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		found, err := c.d.Operations.ListFiles(ctx, filter)
		if err == nil {
			page.files, page.next = found.Items, found.Next
			page.progress = c.d.Operations.Progress(ctx, page.files)
		}
		return err
	})
	group.Go(func() (err error) {
		page.servers, err = c.d.Operations.ListServers(ctx)
		return err
	})
	counted := filter
	counted.AfterID = 0
	group.Go(func() (err error) {
		page.matching, err = c.d.Operations.CountFiles(ctx, counted, countMost)
		return err
	})
	if statuses := waitingOf(filter.Statuses); len(statuses) > 0 {
		waiting := counted
		waiting.Statuses = statuses
		group.Go(func() (err error) {
			page.waiting, err = c.d.Operations.CountFiles(ctx, waiting, countMost)
			return err
		})
	}
	return group.Wait()
}

// waitingOf returns the statuses of the filter that allow retry and skip.
func waitingOf(statuses []ingest.Status) []ingest.Status {
	if len(statuses) == 0 || slices.Contains(statuses, ingest.StatusError) {
		return []ingest.Status{ingest.StatusError}
	}
	return nil
}

// decideFiles asks for a reason and then retries or skips the selected files, or all
// failed files that match the filter.
func (c *Console) decideFiles(r *http.Request, v *view) (answer, error) {
	if err := r.ParseForm(); err != nil {
		return answer{}, formError(err)
	}
	bulk, err := readBulk(r.PostForm)
	if err != nil {
		return answer{}, err
	}
	if r.PostForm.Get("confirmed") == "" {
		count, err := c.d.Operations.ActOnFiles(r.Context(), bulk.request(v, nil, true))
		if err != nil {
			return answer{}, err
		}
		bulk.count = count.Matched
		return answer{title: v.T("Retry or skip files"), body: bulkForm(v, bulk, notice{})}, nil
	}
	bulk.count, _ = strconv.ParseInt(r.PostForm.Get("count"), 10, 64)
	if bulk.reason == "" {
		return answer{title: v.T("Retry or skip files"), body: bulkForm(v, bulk, plain(v.T("Enter a reason; it is stored in the history."))), status: http.StatusBadRequest}, nil
	}
	result, err := c.d.Operations.ActOnFiles(r.Context(), bulk.request(v, &bulk.count, false))
	if ingest.IsKind(err, ingest.KindConflict) {
		fresh, recount := c.d.Operations.ActOnFiles(r.Context(), bulk.request(v, nil, true))
		if recount != nil {
			return answer{}, recount
		}
		bulk.count = fresh.Matched
		return answer{title: v.T("Retry or skip files"), body: bulkForm(v, bulk, v.explain(err)), status: http.StatusConflict}, nil
	}
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Action applied"), body: bulkDone(v, bulk, result)}, nil
}

// bulk is an operator action on several files.
type bulk struct {
	action   operations.Action
	query    fileQuery
	uuids    []string
	reason   string
	from     ingest.Step
	count    int64
	filter   ingest.FileFilter
	selected bool
	// cursor excludes the files of previous requests.
	cursor string
}

func readBulk(form url.Values) (b bulk, err error) {
	values, err := url.ParseQuery(form.Get("query"))
	if err != nil {
		return b, newError(ingest.KindInvalid, nil, "The filter could not be read.")
	}
	b = bulk{query: readFileQuery(values), reason: strings.TrimSpace(form.Get("reason")), from: ingest.Step(form.Get("from"))}
	switch b.action = operations.Action(form.Get("action")); b.action {
	case operations.Retry, operations.Skip:
	default:
		return b, newError(ingest.KindInvalid, nil, "Unknown action.")
	}
	if b.selected = form.Get("all") == ""; b.selected {
		b.uuids = form["file"]
		if len(b.uuids) == 0 {
			return b, newError(ingest.KindInvalid, nil, "Select at least one failed file.")
		}
	}
	b.query.after, b.cursor = 0, form.Get("cursor")
	b.filter, err = b.query.filter()
	b.filter.UUIDs = b.uuids
	return b, err
}

// retryFrom returns the steps of all modes, because the files may be of any; the
// workflow rejects a step that does not fit its file. It is empty for a skip.
func (b bulk) retryFrom() []ingest.Step {
	if b.action != operations.Retry {
		return nil
	}
	return ingest.RetrySteps()
}

func (b bulk) request(v *view, expected *int64, dry bool) operations.BulkRequest {
	return operations.BulkRequest{
		Filter: b.filter, Action: b.action, DryRun: dry, Expected: expected, Cursor: b.cursor,
		Details: workflows.OperatorAction{From: b.from, Reason: b.reason},
	}
}
