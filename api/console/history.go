package console

import (
	"net/http"
	"strconv"

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

func before(r *http.Request) int64 {
	id, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

func (c *Console) scans(r *http.Request, v *view) (answer, error) {
	page := scansPage{server: r.URL.Query().Get("server"), before: before(r)}
	var err error
	if page.scans, err = c.d.Operations.ListScans(r.Context(), page.server, page.before, historyPerPage); err != nil {
		return answer{}, err
	}
	if page.runs, err = c.d.Operations.ListReconciliations(r.Context(), 0, 10); err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Scans"), body: scansView(v, page)}, nil
}

func (c *Console) changes(r *http.Request, v *view) (answer, error) {
	page, err := c.d.Access.AuditLog(r.Context(), ingest.AuditFilter{BeforeID: before(r), Limit: historyPerPage})
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Audit log"), body: changesView(v, page, before(r))}, nil
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
