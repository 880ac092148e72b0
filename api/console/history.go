package console

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// historyPerPage is the page size of scans and the audit log.
const historyPerPage = 50

// scansPage is the content of the scans page.
type scansPage struct {
	server string
	scans  ingest.Page[ingest.Scan]
	runs   ingest.Page[ingest.Reconciliation]
	before int64
}

func (c *Console) scans(r *http.Request, v *view) (answer, error) {
	page := scansPage{server: r.URL.Query().Get("server"), before: positionOf(r.URL, "before")}
	var err error
	if page.scans, err = c.d.Operations.ListScans(r.Context(), page.server, page.before, historyPerPage); err != nil {
		return answer{}, err
	}
	if page.runs, err = c.d.Operations.ListReconciliations(r.Context(), 0, 10); err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Scans"), body: scansView(v, page)}, nil
}

func (c *Console) scan(r *http.Request, v *view) (answer, error) {
	id, err := strconv.ParseInt(r.PathValue("scan"), 10, 64)
	if err != nil {
		return answer{}, errNoPage
	}
	scan, err := c.d.Operations.GetServerScan(r.Context(), id)
	return answer{title: v.T("Scan"), body: scanView(v, scan)}, err
}

// duration returns the duration of a scan, or that it is running.
func (v *view) duration(s ingest.Scan) string {
	if s.FinishedAt.IsZero() {
		return v.T("running")
	}
	return v.span(s.FinishedAt.Sub(s.StartedAt))
}

// requestedBy returns who requested a scan; empty for scans of old releases.
func requestedBy(v *view, s ingest.Scan) string {
	if s.Source == ingest.SourceSchedule {
		return v.T("schedule")
	}
	return ingest.DisplayPath(s.RequestedBy)
}

func scanHref(s ingest.Scan) string { return fmt.Sprintf("/scans/%d", s.ID) }

// scanRow returns the row of a scan; withServer adds the server.
func (v *view) scanRow(s ingest.Scan, withServer bool) row {
	cells := []cell{
		{v.T("Started"), "", linkTo(scanHref(s), when(s.StartedAt))},
		{v.T("Server"), "", serverLink(v, s.ServerName, s.ServerRemoved)},
		{v.T("Duration"), "", text(v.duration(s))},
		v.number(v.T("Seen"), s.Seen),
		v.number(v.T("New"), s.New),
		v.number(v.T("Settling"), s.Settling),
		v.number(v.T("Rejected"), s.Rejected),
		v.number(v.T("Excluded"), s.Excluded.Count),
		{v.T("Requested by"), "", text(requestedBy(v, s))},
		{v.T("Result"), "", scanResult(v, s)},
	}
	if !withServer {
		cells = slices.Delete(cells, 1, 2)
	}
	return row{id: fmt.Sprintf("s-%d", s.ID), href: scanHref(s), cells: cells}
}

func (v *view) reconciliationRow(run ingest.Reconciliation) row {
	repaired := "✓ " + v.T("nothing to repair")
	if done := v.repaired(run); len(done) > 0 {
		repaired = strings.Join(done, ", ")
	}
	return row{cells: []cell{
		{v.T("Started"), "", when(run.StartedAt)},
		{v.T("Duration"), "", text(v.span(run.FinishedAt.Sub(run.StartedAt)))},
		{v.T("Repaired"), "", text(repaired)},
		{v.T("Findings"), "", reconciliationFindings(v, run)},
	}}
}

// repaired summarizes a reconciliation.
func (v *view) repaired(run ingest.Reconciliation) (list []string) {
	for _, part := range []struct {
		n    int64
		text string
	}{
		{run.Requeued, "%d files requeued"}, {run.Restarted, "%d workflows restarted"}, {run.UploadsAborted, "%d uploads aborted"},
		{run.StagingRemoved, "%d staged files removed"}, {run.ObjectsMissing, "%d objects missing"}, {run.HostsSilent, "%d workers without heartbeat"},
	} {
		if part.n > 0 {
			list = append(list, v.T(part.text, part.n))
		}
	}
	return list
}
