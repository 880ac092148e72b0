package console

import (
	"net/http"
	"net/url"
	"slices"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// overviewPage is the content of the overview.
type overviewPage struct {
	overview   operations.Overview
	statistics ingest.Statistics
	// failures groups the failed files by cause; more reports that there are further groups.
	failures []ingest.FailureGroup
	more     bool
}

func (c *Console) overview(r *http.Request, v *view) (answer, error) {
	var page overviewPage
	var err error
	if page.overview, err = c.d.Operations.Overview(r.Context()); err != nil {
		return answer{}, err
	}
	if page.statistics, err = c.d.Operations.Statistics(r.Context(), "", periodOf(r)); err != nil {
		return answer{}, err
	}
	page.failures, page.more, err = c.d.Operations.ListFailures(r.Context(), "")
	return answer{title: v.T("Overview"), body: overviewView(v, page)}, err
}

// inFlightHref lists the files that the tile counts.
var inFlightHref = "/files?" + url.Values{"status": toStrings(ingest.InFlight)}.Encode()

// attention returns the servers that need an operator.
func attention(o operations.Overview) []operations.ServerOverview {
	return slices.DeleteFunc(slices.Clone(o.Servers), func(s operations.ServerOverview) bool { return !s.Server.Health().NeedsOperator() })
}

// groupQuery returns the filter of a group's files.
func groupQuery(g ingest.FailureGroup) query {
	return readFileQuery(url.Values{"status": {string(ingest.StatusError)}, "server": {g.ServerName}, "error_kind": {string(g.Kind)}, "step": {string(g.Step)}})
}
