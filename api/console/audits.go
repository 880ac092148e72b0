package console

import (
	"fmt"
	"net/http"

	"stevedore/internal/ingest"
)

func (c *Console) audits(r *http.Request, v *view) (answer, error) {
	page, err := c.d.Operations.ListAudits(r.Context(), positionOf(r.URL, "before"), historyPerPage)
	if err != nil {
		return answer{}, err
	}
	servers, err := c.d.Operations.ListServers(r.Context())
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Audits"), body: auditsView(v, page, servers)}, nil
}

func (c *Console) startAudit(r *http.Request, v *view) (answer, error) {
	var servers []string
	if name := r.PostFormValue("server"); name != "" {
		servers = []string{name}
	}
	run, err := c.d.Operations.StartAudit(r.Context(), servers, r.PostFormValue("deep") != "")
	if err != nil {
		return v.done("/audits", "", err)
	}
	return v.done("/audits/"+run.UUID, v.T("Audit started."), nil)
}

// discrepanciesPerPage is the page size of discrepancies.
const discrepanciesPerPage = 200

func (c *Console) audit(r *http.Request, v *view) (answer, error) {
	run, err := c.d.Operations.GetAudit(r.Context(), r.PathValue("audit"))
	if err != nil {
		return answer{}, err
	}
	page, err := c.d.Operations.ListDiscrepancies(r.Context(), run.UUID, positionOf(r.URL, "after"), discrepanciesPerPage)
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Audits"), body: auditView(v, run, page)}, nil
}

// auditDiffers is the state of a completed audit that found discrepancies.
const auditDiffers ingest.AuditState = "differs"

// auditState returns the state of an audit.
func auditState(r ingest.AuditRun) ingest.AuditState {
	if r.State == ingest.AuditCompleted && r.Discrepancies() > 0 {
		return auditDiffers
	}
	return r.State
}

// auditRow returns the row of an audit.
func (v *view) auditRow(run ingest.AuditRun) row {
	return row{href: "/audits/" + run.UUID, busy: run.State == ingest.AuditRunning, cells: []cell{
		{v.T("State"), "", badgeOf(v, auditState(run))},
		{v.T("Started"), "", linkTo("/audits/"+run.UUID, when(run.StartedAt))},
		{v.T("Requested by"), "", text(ingest.DisplayPath(run.Actor))},
		v.number(v.T("On servers"), run.Sources),
		v.number(v.T("In the ledger"), run.Files),
		v.number(v.T("In the store"), run.Objects),
		v.number(v.T("Discrepancies"), run.Discrepancies()),
	}}
}

// discrepancyRow returns the row of a discrepancy.
func (v *view) discrepancyRow(d ingest.Discrepancy) row {
	return row{id: fmt.Sprintf("d-%d", d.Seq), cells: []cell{
		{v.T("Type"), "", badgeOf(v, d.Mark)},
		{v.T("File or object"), "path", discrepancyItem(v, d)},
		{v.T("Source"), "side", sideView(v, d.Sides.Source)},
		{v.T("Ledger"), "side", sideView(v, d.Sides.Ledger)},
		{v.T("Object"), "side", sideView(v, d.Sides.Object)},
		{v.T("Notification"), "side", sideView(v, d.Sides.Notification)},
	}}
}

// sideFacts returns the attributes of one place except checksum and time.
func (v *view) sideFacts(s ingest.AuditSide) (facts []string) {
	if s.Count > 1 {
		facts = append(facts, v.T("%d times", s.Count))
	}
	if s.Status != "" {
		facts = append(facts, v.status(s.Status))
	}
	if s.Size != nil {
		facts = append(facts, v.T("%d bytes", *s.Size))
	}
	return facts
}
