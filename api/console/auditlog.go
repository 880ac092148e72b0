package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// auditLogFields are the filters of the audit log.
var auditLogFields = []string{"actor", "action", "target", "from", "to"}

// auditLogPage is the content of the audit log's page.
type auditLogPage struct {
	query   query
	entries ingest.Page[ingest.AuditEntry]
	// servers has the names of the existing servers.
	servers map[string]bool
}

// readAuditLog returns the filter of the request.
func readAuditLog(r *http.Request, limit int) (query, ingest.AuditFilter, error) {
	q := readQuery(r.URL.Query(), auditLogFields)
	filter := ingest.AuditFilter{
		Actor: q.Get("actor"), Action: q.Get("action"), Target: q.Get("target"), BeforeID: positionOf(r.URL, "before"), Limit: limit,
	}
	var err error
	filter.From, filter.To, err = q.times()
	return q, filter, err
}

func (c *Console) auditLog(r *http.Request, v *view) (answer, error) {
	q, filter, err := readAuditLog(r, historyPerPage)
	if err != nil {
		return answer{}, err
	}
	page := auditLogPage{query: q, servers: map[string]bool{}}
	if page.entries, err = c.d.Access.AuditLog(r.Context(), filter); err != nil {
		return answer{}, err
	}
	servers, err := c.d.Operations.ListServers(r.Context())
	for _, server := range servers {
		page.servers[server.Name] = true
	}
	return answer{title: v.T("Audit log"), body: auditLogView(v, page)}, err
}

// actions returns the actions of the page's entries.
func (p auditLogPage) actions() []string {
	actions := map[string]bool{}
	for _, e := range p.entries.Items {
		actions[e.Action] = true
	}
	return slices.Sorted(maps.Keys(actions))
}

// targetHref returns the page of an entry's target; empty if there is none.
func (p auditLogPage) targetHref(e ingest.AuditEntry) string {
	switch area, _, _ := strings.Cut(e.Action, "."); {
	case area == "server" && p.servers[e.Target]:
		return "/servers/" + e.Target
	case area == "file":
		return "/files/" + e.Target
	case area == "audit":
		return "/audits/" + e.Target
	case area == "scan":
		return "/scans"
	case area == "token" && e.Outcome != ingest.ActionFailed: // it may name no token
		return "/tokens"
	}
	return ""
}

// entryDetails returns the changes of an entry and its other details, by name.
func entryDetails(e ingest.AuditEntry) (list []ingest.DetailText) {
	for _, change := range e.Changes() {
		field, values, _ := strings.Cut(change, ": ")
		list = append(list, ingest.DetailText{Name: field, Text: values})
	}
	return append(list, ingest.DisplayDetails(otherDetails(e))...)
}

// otherDetails returns the details of an entry except its changes.
func otherDetails(e ingest.AuditEntry) map[string]any {
	others := maps.Clone(e.Details)
	delete(others, "changes")
	return others
}

// row returns the row of an entry.
func (p auditLogPage) row(v *view, e ingest.AuditEntry) row {
	return row{cells: []cell{
		{v.T("Time"), "", when(e.At)},
		{v.T("Actor"), "", entryUser(v, e)},
		{v.T("Action"), "", entryAction(v, e.Action)},
		{v.T("Target"), "", linkIf(p.targetHref(e) != "", p.targetHref(e), e.Target)},
		{v.T("Outcome"), "", entryOutcome(v, e)},
		{v.T("Changes and details"), "path", optional(len(e.Details) > 0, detailList(v, entryDetails(e)))},
	}}
}

// export returns the URL of the filtered log as a file.
func (p auditLogPage) export(format string) string {
	values := maps.Clone(p.query.Values)
	values.Set("format", format)
	return query{values}.href(exportPath)
}

const (
	exportPath = "/audit-log/export"
	// exportTimeout is the time limit of a download.
	exportTimeout = 10 * time.Minute
	// exportPage is the number of entries in memory.
	exportPage = 1000
)

// entryEncoder writes entries to a file.
type entryEncoder func(w io.Writer, entries iter.Seq2[ingest.AuditEntry, error]) error

// exportFormats are the formats of downloads.
var exportFormats = map[string]struct {
	contentType string
	encode      entryEncoder
}{
	"csv":   {"text/csv; charset=utf-8; header=present", encodeCSV},
	"jsonl": {"application/jsonl", encodeJSONL},
}

// exportAuditLog streams the filtered audit log.
func (c *Console) exportAuditLog(r *http.Request, _ *view) (answer, error) {
	name := r.URL.Query().Get("format")
	format, known := exportFormats[name]
	if !known {
		return answer{}, newError(ingest.KindInvalid, nil, "Unknown format.")
	}
	_, filter, err := readAuditLog(r, exportPage)
	if err != nil {
		return answer{}, err
	}
	first, err := c.d.Access.AuditLog(r.Context(), filter) // its failure becomes an error page
	if err != nil {
		return answer{}, err
	}
	return answer{file: &download{"audit-log." + name, format.contentType, func(w io.Writer) error {
		return format.encode(w, c.entriesFrom(r.Context(), first, filter))
	}}}, nil
}

// entriesFrom returns the entries of the page and of all further pages.
func (c *Console) entriesFrom(ctx context.Context, page ingest.Page[ingest.AuditEntry], filter ingest.AuditFilter) iter.Seq2[ingest.AuditEntry, error] {
	return func(yield func(ingest.AuditEntry, error) bool) {
		for {
			for _, e := range page.Items {
				if !yield(e, nil) {
					return
				}
			}
			if page.Next == 0 {
				return
			}
			filter.BeforeID = page.Next
			var err error
			if page, err = c.d.Access.AuditLog(ctx, filter); err != nil {
				yield(ingest.AuditEntry{}, err)
				return
			}
		}
	}
}

// encodeJSONL writes a line for each entry, as the API returns it.
func encodeJSONL(w io.Writer, entries iter.Seq2[ingest.AuditEntry, error]) error {
	lines := json.NewEncoder(w)
	for e, err := range entries {
		if err != nil {
			return err
		}
		if err := lines.Encode(openapi.FromAudit(e)); err != nil {
			return err
		}
	}
	return nil
}

// encodeCSV writes a line of column names and a record for each entry. Changes are separated
// by line feeds.
func encodeCSV(w io.Writer, entries iter.Seq2[ingest.AuditEntry, error]) error {
	records := csv.NewWriter(w)
	if err := records.Write([]string{"id", "at", "actor", "role", "action", "target", "outcome", "error", "changes", "details"}); err != nil {
		return err
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		details, err := json.Marshal(otherDetails(e))
		if err != nil {
			return err
		}
		if err := records.Write([]string{
			strconv.FormatInt(e.ID, 10), e.At.UTC().Format(time.RFC3339Nano), plainCell(e.Actor), string(e.Role), plainCell(e.Action), plainCell(e.Target),
			string(e.Outcome), plainCell(e.Error), plainCell(strings.Join(e.Changes(), "\n")), string(details),
		}); err != nil {
			return err
		}
	}
	records.Flush()
	return records.Error()
}

// plainCell returns text that spreadsheets do not evaluate as a formula.
func plainCell(text string) string {
	if strings.IndexAny(text, "=+-@\t\r") == 0 {
		return "'" + text
	}
	return text
}
