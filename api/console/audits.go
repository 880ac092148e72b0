package console

import (
	"net/http"
	"strconv"

	"stevedore/internal/ingest"
)

func (c *Console) audits(r *http.Request, v *view) (answer, error) {
	page, err := c.d.Operations.ListAudits(r.Context(), before(r), historyPerPage)
	if err != nil {
		return answer{}, err
	}
	servers, err := c.d.Operations.ListServers(r.Context())
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Audits"), body: auditsView(v, page, servers, before(r))}, nil
}

func (c *Console) startAudit(r *http.Request, v *view) (answer, error) {
	var servers []string
	if name := r.PostFormValue("server"); name != "" {
		servers = []string{name}
	}
	run, err := c.d.Operations.StartAudit(r.Context(), servers, r.PostFormValue("deep") != "")
	return answer{goTo: "/audits/" + run.UUID, notice: plain(v.T("Audit started."))}, err
}

// differencesPerPage is how many differences a page shows.
const differencesPerPage = 200

func (c *Console) audit(r *http.Request, v *view) (answer, error) {
	run, err := c.d.Operations.GetAudit(r.Context(), r.PathValue("audit"))
	if err != nil {
		return answer{}, err
	}
	after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
	page, err := c.d.Operations.AuditDifferences(r.Context(), run.UUID, after, differencesPerPage)
	if err != nil {
		return answer{}, err
	}
	return answer{title: v.T("Audits"), body: auditView(v, run, page)}, nil
}

// auditHealth is how an audit stands, as one word with a sign.
func auditHealth(r ingest.AuditRun) serverHealth {
	switch {
	case r.State == ingest.AuditRunning:
		return serverHealth{"idle", "…", "running"}
	case r.State == ingest.AuditFailed:
		return serverHealth{"bad", "✕", "failed"}
	case r.Differences() > 0:
		return serverHealth{"warn", "!", "completed, with discrepancies"}
	default:
		return serverHealth{"good", "✓", "completed, no discrepancies"}
	}
}

// markWord is a mark as a word, so that signs alone say nothing.
func markWord(mark ingest.AuditMark) string {
	switch mark {
	case "-":
		return "missing"
	case "+":
		return "extra"
	default:
		return "differs"
	}
}

// moreDifferences is where the page goes on.
func moreDifferences(run ingest.AuditRun, page ingest.Page[ingest.AuditDifference]) string {
	return "/audits/" + run.UUID + "?after=" + strconv.FormatInt(page.Next, 10)
}

// markOf is how a place stands, as one word with a sign.
func markOf(s ingest.SideState) serverHealth {
	switch s {
	case ingest.SideSame:
		return serverHealth{"good", "=", "present"}
	case ingest.SideMissing:
		return serverHealth{"bad", "−", "missing"}
	case ingest.SideExtra:
		return serverHealth{"warn", "+", "extra"}
	case ingest.SideWrong:
		return serverHealth{"warn", "!", "differs"}
	default:
		return serverHealth{"idle", "?", "not compared"}
	}
}

// sideFacts are what is known of a place besides its checksum and time.
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
