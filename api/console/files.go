package console

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

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

// fileFields are the filters of the files page, in the order of its URL.
var fileFields = []string{"status", "server", "search", "path", "error_kind", "step", "from", "to"}

// fileFlags are the flags of "stevedore file list" that differ from the fields.
var fileFlags = map[string]string{"error_kind": "error-kind", "step": "error-step"}

// readFileQuery returns the filter of the files page. Unknown statuses, kinds and steps are
// omitted.
func readFileQuery(values url.Values) query {
	q := readQuery(values, fileFields)
	for field, known := range map[string]func(string) bool{
		"status":     func(s string) bool { return slices.Contains(ingest.Statuses, ingest.Status(s)) },
		"error_kind": func(s string) bool { return kindTexts[ingest.Kind(s)] != "" },
		"step":       func(s string) bool { return stepNames[ingest.Step(s)] != "" },
	} {
		q.keep(field, known)
	}
	return q
}

// fileFilter returns the filter for the ledger.
func fileFilter(q query) (filter ingest.FileFilter, err error) {
	filter = ingest.FileFilter{Server: q.Get("server"), Search: q.Get("search"), Path: q.Get("path"), Limit: filesPerPage, Order: ingest.OrderNewest}
	for _, status := range q.Values["status"] {
		filter.Statuses = append(filter.Statuses, ingest.Status(status))
	}
	for _, kind := range q.Values["error_kind"] {
		filter.ErrorKinds = append(filter.ErrorKinds, ingest.Kind(kind))
	}
	for _, step := range q.Values["step"] {
		filter.ErrorSteps = append(filter.ErrorSteps, ingest.Step(step))
	}
	filter.From, filter.To, err = q.times()
	return filter, err
}

// folded reports whether a filter of the folded part is set.
func folded(q query) bool {
	return slices.ContainsFunc(fileFields, func(field string) bool { return field != "server" && field != "search" && q.Has(field) })
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
	query    query
	files    []ingest.File
	next     int64
	progress map[string]orchestrator.Progress
	servers  []ingest.Server
	// matching counts the files that match the filter, waiting the failed ones of them.
	matching, waiting ingest.Count
}

// selectable reports whether the user can select files on the page.
func (p filesPage) selectable(v *view) bool {
	return v.can("retryFiles") &&
		slices.ContainsFunc(p.files, func(f ingest.File) bool { return f.Status == ingest.StatusError })
}

// row returns the row of a file.
func (p filesPage) row(v *view, f ingest.File) row {
	cells := []cell{
		{v.T("Status"), "", statusBadge(v, f.Status)},
		{v.T("Path"), "path", filePath(f)},
		{v.T("Server"), "", serverLink(v, f.ServerName, f.ServerRemoved)},
		{v.T("Size"), "num", text(v.bytes(f.Size))},
		{v.T("Progress"), "progress", fileProgress(v, f, p)},
		{v.T("Updated"), "", when(f.UpdatedAt)},
	}
	if p.selectable(v) {
		cells = slices.Insert(cells, 0, cell{v.T("Select"), "tick", fileTick(v, f)})
	}
	return row{id: "f-" + f.UUID, href: "/files/" + f.UUID, busy: f.Status.InFlight(), cells: cells}
}

// dirOf returns the folder of a path with its slash, safe to display.
func dirOf(path string) string { return ingest.DisplayPath(path[:strings.LastIndexByte(path, '/')+1]) }

func (c *Console) files(r *http.Request, v *view) (answer, error) {
	page := filesPage{query: readFileQuery(r.URL.Query())}
	filter, err := fileFilter(page.query)
	if err != nil {
		return answer{}, err
	}
	filter.AfterID = positionOf(r.URL, "after")
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

// actOnFiles asks for a reason and then retries or skips the selected files, or all
// failed files that match the filter.
func (c *Console) actOnFiles(r *http.Request, v *view) (answer, error) {
	if err := r.ParseForm(); err != nil {
		return answer{}, formError(err)
	}
	bulk, err := readBulk(r.PostForm)
	if err != nil {
		return answer{}, err
	}
	v.url = &url.URL{Path: "/files", RawQuery: bulk.query.Encode()}
	if r.PostForm.Get("confirmed") == "" {
		return c.confirm(r.Context(), v, bulk, http.StatusOK, notice{})
	}
	if bulk.reason == "" {
		return c.confirm(r.Context(), v, bulk, http.StatusBadRequest, plain(v.T("Enter a reason; it is stored in the history.")))
	}
	bulk.count, _ = strconv.ParseInt(r.PostForm.Get("count"), 10, 64)
	result, err := c.d.Operations.ActOnFiles(r.Context(), bulk.request(v, &bulk.count, false))
	if ingest.IsKind(err, ingest.KindConflict) {
		return c.confirm(r.Context(), v, bulk, http.StatusConflict, v.explain(err))
	}
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Action applied"), body: bulkDone(v, bulk, result)}, nil
}

// bulkShown is the number of files that a confirmation lists.
const bulkShown = 10

// confirm counts the files of an action, lists the first ones, and asks for a reason.
func (c *Console) confirm(ctx context.Context, v *view, b bulk, status int, problem notice) (answer, error) {
	matched, err := c.d.Operations.ActOnFiles(ctx, b.request(v, nil, true))
	if err != nil {
		return answer{}, err
	}
	b.count = matched.Matched
	filter := b.filter
	filter.Statuses, filter.Limit = []ingest.Status{ingest.StatusError}, bulkShown
	first, err := c.d.Operations.ListFiles(ctx, filter)
	b.files = first.Items
	return answer{title: v.T("Retry or skip files"), body: bulkForm(v, b, problem), status: status}, err
}

// bulk is an operator action on several files.
type bulk struct {
	action ingest.Action
	query  query
	uuids  []string
	reason string
	from   ingest.Step
	count  int64
	// files are the first of the files.
	files    []ingest.File
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
	switch b.action = ingest.Action(form.Get("action")); b.action {
	case ingest.ActionRetry, ingest.ActionSkip:
	default:
		return b, newError(ingest.KindInvalid, nil, "Unknown action.")
	}
	if b.selected = form.Get("all") == ""; b.selected {
		b.uuids = form["file"]
		if len(b.uuids) == 0 {
			return b, newError(ingest.KindInvalid, nil, "Select at least one failed file.")
		}
	}
	b.cursor = form.Get("cursor")
	b.filter, err = fileFilter(b.query)
	b.filter.UUIDs = b.uuids
	return b, err
}

// retryFrom returns the steps of all modes, because the files may be of any; the
// workflow rejects a step that does not fit its file. It is empty for a skip.
func (b bulk) retryFrom() []ingest.Step {
	if b.action != ingest.ActionRetry {
		return nil
	}
	return ingest.RetrySteps()
}

// title names the action and the number of files.
func (b bulk) title(v *view) string {
	if b.action == ingest.ActionRetry {
		return v.T("Retry %d files", b.count)
	}
	return v.T("Skip %d files", b.count)
}

// failed returns the filter of the action's files.
func (b bulk) failed() query {
	q := query{maps.Clone(b.query.Values)}
	q.Set("status", string(ingest.StatusError))
	return q
}

// bulkRow returns the row of a file in a confirmation.
func bulkRow(v *view, f ingest.File) row {
	return row{href: "/files/" + f.UUID, cells: []cell{
		{v.T("Path"), "path", filePath(f)}, {v.T("Server"), "", serverLink(v, f.ServerName, f.ServerRemoved)},
		{v.T("Error"), "", ledgerState(v, f)}, {v.T("Updated"), "", when(f.UpdatedAt)},
	}}
}

func (b bulk) request(v *view, expected *int64, dry bool) operations.BulkRequest {
	return operations.BulkRequest{
		Filter: b.filter, Action: b.action, DryRun: dry, Expected: expected, Cursor: b.cursor,
		Details: workflows.OperatorAction{From: b.from, Reason: b.reason},
	}
}
