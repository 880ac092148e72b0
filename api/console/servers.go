package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

func (c *Console) servers(r *http.Request, v *view) (answer, error) {
	overview, err := c.d.Operations.Overview(r.Context())
	return answer{title: v.T("Servers"), body: serverList(v, overview.Servers)}, err
}

// serverPage is the content of a server's page.
type serverPage struct {
	server ingest.Server
	facts  operations.ServerOverview
	scans  []ingest.Scan
	// statistics is the activity of a period.
	statistics ingest.Statistics
	// test is the result of a connection test, problem its failure.
	test    *operations.TestResult
	problem notice
}

func (c *Console) server(r *http.Request, v *view) (answer, error) {
	server, err := c.d.Operations.GetServer(r.Context(), r.PathValue("server"))
	if err != nil {
		return answer{}, err
	}
	return c.showServer(r, v, serverPage{server: server})
}

func (c *Console) showServer(r *http.Request, v *view, page serverPage) (answer, error) {
	overview, err := c.d.Operations.Overview(r.Context())
	if err != nil {
		return answer{}, err
	}
	if i := slices.IndexFunc(overview.Servers, func(o operations.ServerOverview) bool { return o.Server.UUID == page.server.UUID }); i >= 0 {
		page.facts = overview.Servers[i]
	}
	scans, err := c.d.Operations.ListScans(r.Context(), page.server.UUID, 0, 10)
	if err != nil {
		return answer{}, err
	}
	page.scans = scans.Items
	if page.statistics, err = c.d.Operations.Statistics(r.Context(), page.server.UUID, periodOf(r)); err != nil {
		return answer{}, err
	}
	return answer{title: page.server.Name, body: serverView(v, page)}, nil
}

// testServer tests the connection.
func (c *Console) testServer(r *http.Request, v *view) (answer, error) { return c.test(r, v, "") }

// approveKey pins the host key with the submitted fingerprint.
func (c *Console) approveKey(r *http.Request, v *view) (answer, error) {
	return c.test(r, v, r.PostFormValue("fingerprint"))
}

// negotiated lists the negotiated algorithms.
func negotiated(d operations.ProbeDetails) string {
	all := []string{d.KeyExchange, d.HostKeyAlgorithm, d.Cipher, d.MAC}
	return ingest.DisplayPath(strings.Join(slices.DeleteFunc(all, func(name string) bool { return name == "" }), ", "))
}

func (c *Console) test(r *http.Request, v *view, approve string) (answer, error) {
	result, err := c.d.Operations.TestServer(r.Context(), r.PathValue("server"), operations.TestRequest{Approve: approve, Expires: r.PostFormValue("expires"), Sample: r.PostFormValue("sample") != ""})
	if err != nil && result.Server.UUID == "" {
		return answer{}, err
	}
	v.url = &url.URL{Path: "/servers/" + result.Server.Name}
	page := serverPage{server: result.Server, test: &result}
	if err != nil {
		page.problem = v.explain(err)
	}
	return c.showServer(r, v, page)
}

// omission explains why a listing does not include an entry.
func (v *view) omission(o ingest.Omission) notice {
	switch {
	case !v.translated():
		return plain(o.String())
	case o.Reason == ingest.OmitRejected:
		return v.quote(v.T("Rejected: unsafe name or type"), o.Detail)
	case o.Reason == ingest.OmitWaiting:
		return v.quote(v.T("waits"), o.Detail)
	case o.Detail == "":
		return plain(v.T(o.Reason.Format()))
	}
	return plain(v.T(o.Reason.Format(), ingest.DisplayPath(o.Detail)))
}

// maxOmitted bounds the omitted entries of a sample, see openapi.yaml.
const maxOmitted = 200

func (v *view) omittedRow(e operations.OmittedEntry) row {
	return row{cells: []cell{{v.T("Path"), "path", code(e.Path)}, {v.T("Reason"), "", noticeText(v.omission(e.Omission))}}}
}

func (c *Console) scanServer(r *http.Request, v *view) (answer, error) {
	name := r.PathValue("server")
	return c.startScan(r, v, []string{name}, "/servers/"+name)
}

func (c *Console) scanAll(r *http.Request, v *view) (answer, error) {
	return c.startScan(r, v, nil, localPath(r.PostFormValue("next")))
}

func (c *Console) startScan(r *http.Request, v *view, servers []string, back string) (answer, error) {
	_, err := c.d.Operations.StartScan(r.Context(), servers)
	return v.done(back, v.T("Scan started."), err)
}

func (c *Console) pauseServer(r *http.Request, v *view) (answer, error) {
	_, err := c.d.Operations.PauseServer(r.Context(), r.PathValue("server"))
	return v.done("/servers/"+r.PathValue("server"), v.T("Server paused. Discovered files are still ingested."), err)
}

func (c *Console) resumeServer(r *http.Request, v *view) (answer, error) {
	_, err := c.d.Operations.ResumeServer(r.Context(), r.PathValue("server"))
	return v.done("/servers/"+r.PathValue("server"), v.T("Server resumed."), err)
}

// heldPart labels a part of the held changes.
func heldPart(v *view, p ingest.HeldPart) string {
	name := p.Shift.String()
	switch {
	case p.Others:
		name = v.T("others")
	case p.Moved:
		name = v.T("moved")
	}
	return fmt.Sprintf("%d: %s", p.Files, name)
}

// decideChanges resolves held changes.
func (c *Console) decideChanges(r *http.Request, v *view) (answer, error) {
	var n int64
	name := r.PathValue("server")
	reason, err := reasonOf(r)
	if err == nil {
		n, err = c.d.Operations.ResolveChanges(r.Context(), name, ingest.ChangesDecision(r.PostFormValue("decision")), r.PostFormValue("part"), reason)
	}
	return v.done("/servers/"+name, v.T("Action applied to %d files.", n), err)
}

func (c *Console) removeServer(r *http.Request, v *view) (answer, error) {
	name := r.PathValue("server")
	if r.PostFormValue("name") != name {
		return v.done("/servers/"+name, "", newError(ingest.KindInvalid, nil, "Enter the server name to confirm"))
	}
	_, err := c.d.Operations.RemoveServer(r.Context(), name, r.PostFormValue("version"))
	if err != nil {
		return v.done("/servers/"+name, "", err)
	}
	return v.done("/servers", v.T("Server removed. Ingested files stay in the ledger."), nil)
}

// serverRow returns the row of a server: of the list of servers, or of the overview.
func (v *view) serverRow(o operations.ServerOverview, list bool) row {
	s := o.Server
	cells := []cell{
		{v.T("Health"), "", badgeOf(v, s.Health())},
		{v.T("Name"), "", link("/servers/"+s.Name, s.Name)},
		{v.T("Address"), "", breakable(addressOf(s))},
		{v.T("Last scan"), "", when(s.LastScanAt)},
		v.number(v.T("In flight"), o.InFlight),
		{v.T("Needs attention"), "num", failedFiles(v, s.Name, o.Files[ingest.StatusError])},
		{v.T("Completed in 24 h"), "num", completedFiles(v, o.Hours)},
	}
	if list {
		cells = append(cells, cell{v.T("Last error"), "why", optional(s.LastError != "", noticeText(v.quote("", s.LastError)))})
	} else {
		cells = append(slices.Delete(cells, 2, 3), cell{v.T("Volume in 24 h"), "num", text(v.bytes(total(o.Hours).Bytes))}, v.number(v.T("Failures in 24 h"), total(o.Hours).Failures))
	}
	return row{href: "/servers/" + s.Name, cells: cells}
}

// addressOf returns the user, host and port of a server.
func addressOf(s ingest.Server) string {
	return fmt.Sprintf("%s@%s:%d", ingest.DisplayPath(s.Username), ingest.DisplayPath(s.Host), s.Port)
}

// nextScan estimates the time until the next scheduled scan; 0 if none is due.
func nextScan(s ingest.Server, now time.Time) time.Duration {
	if !s.Active || s.State == ingest.ServerSuspended || s.LastScanAt.IsZero() {
		return 0
	}
	return max(0, s.LastScanAt.Add(s.ScanInterval).Sub(now))
}

// shown reports whether the page of a server lists the setting: advanced settings only
// if they differ from their defaults. The address and host keys have lines of their own.
func shown(setting ingest.Setting, s ingest.Server) bool {
	switch setting.Group {
	case ingest.GroupConnection:
		return false
	case ingest.GroupAdvanced:
		return !setting.IsDefault(s)
	}
	return setting.Field != "on_collision" || !setting.IsDefault(s)
}

// settingText returns the value of a setting for display.
func (v *view) settingText(setting ingest.Setting, s ingest.Server) string {
	text := setting.Text(s)
	switch {
	case text == "" && setting.Field == "include":
		return v.T("all files")
	case text == "" || text == "-":
		return v.T("none")
	case setting.Switch():
		return v.T("yes")
	case setting.Duration():
		d, _ := time.ParseDuration(text) // Text formats it
		return v.span(d)
	case len(setting.Choices) > 0:
		return v.choice(text)
	}
	return ingest.DisplayPath(strings.ReplaceAll(text, "\n", "  "))
}

// settingHint returns the description of a setting in forms.
func (v *view) settingHint(setting ingest.Setting) string {
	if setting.Default == "" {
		return v.T(setting.Help)
	}
	return v.T(setting.Help) + ". " + v.T("Empty uses the default.")
}
