package remote

import (
	"context"
	"net/http"
	"strings"
	"time"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// server reads an answer that is a server.
func (c *Client) server(response *http.Response, err error) (ingest.Server, error) {
	shown, err := reply[oas.Server]{c}.of(response, err)
	if err != nil {
		return ingest.Server{}, err
	}
	return toServer(shown)
}

// AddServer adds a server.
func (c *Client) AddServer(ctx context.Context, in admin.NewServer) (ingest.Server, error) {
	return c.server(c.api.CreateServer(ctx, nil, settingsOf(in)))
}

// ListServers returns all servers, by name.
func (c *Client) ListServers(ctx context.Context) ([]ingest.Server, error) {
	list, err := reply[oas.ServerList]{c}.of(c.api.ListServers(ctx))
	if err != nil {
		return nil, err
	}
	var servers []ingest.Server
	for _, shown := range list.Servers {
		server, err := toServer(shown)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// ShowServer returns the server with the name or uuid.
func (c *Client) ShowServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	server, _, err := c.ReadServer(ctx, nameOrUUID)
	return server, err
}

// ReadServer returns the server and the version that EditServer and
// RemoveServer ask for.
func (c *Client) ReadServer(ctx context.Context, nameOrUUID string) (server ingest.Server, version string, err error) {
	shown, header, err := reply[oas.Server]{c}.withHeader(c.api.GetServer(ctx, nameOrUUID))
	if err != nil {
		return server, "", err
	}
	server, err = toServer(shown)
	return server, strings.Trim(header.Get("ETag"), `"`), err
}

// EditServer changes the given settings of a server that is still of the
// version.
func (c *Client) EditServer(ctx context.Context, nameOrUUID, version string, settings oas.ServerSettings) (ingest.Server, error) {
	return c.server(c.api.EditServer(ctx, nameOrUUID, &oas.EditServerParams{IfMatch: ifMatch(version)}, settings))
}

// RemoveServer removes a server that is still of the version, and returns it as
// it was.
func (c *Client) RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error) {
	server, err := c.ShowServer(ctx, nameOrUUID)
	if err != nil {
		return server, err
	}
	_, err = reply[struct{}]{c}.of(c.api.RemoveServer(ctx, server.UUID, &oas.RemoveServerParams{IfMatch: ifMatch(version)}))
	return server, err
}

func ifMatch(version string) *oas.IfMatch {
	if version != admin.AnyVersion {
		version = `"` + version + `"`
	}
	return &version
}

// PauseServer switches a server off.
func (c *Client) PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	return c.server(c.api.PauseServer(ctx, nameOrUUID, nil))
}

// ResumeServer switches a server on and ends a suspension.
func (c *Client) ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	return c.server(c.api.ResumeServer(ctx, nameOrUUID, nil))
}

// DecideChanges decides about the changes of a server that are held.
func (c *Client) DecideChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	decided, err := reply[oas.ChangesDecided]{c}.of(c.api.DecideChanges(ctx, nameOrUUID, nil, oas.ChangesDecision{
		Decision: oas.ChangesDecisionDecision(decision), Part: &part, Reason: reason,
	}))
	return decided.Files, err
}

// TestServer logs in to a server, see admin.TestServer. What it found out is in
// the result beside the error, too.
func (c *Client) TestServer(ctx context.Context, nameOrUUID string, ask admin.TestRequest) (admin.TestResult, error) {
	server, err := c.ShowServer(ctx, nameOrUUID)
	if err != nil {
		return admin.TestResult{}, err
	}
	read := reply[oas.ServerTest]{c}
	var test oas.ServerTest
	if ask.Approve == "" {
		test, err = read.of(c.api.TestServer(ctx, server.UUID, &oas.TestServerParams{Sample: &ask.Sample}))
	} else {
		approval := oas.HostKeyApproval{Fingerprint: ask.Approve, Expires: orNil(ask.Expires)}
		test, err = read.of(c.api.ApproveHostKey(ctx, server.UUID, &oas.ApproveHostKeyParams{Sample: &ask.Sample}, approval))
	}
	result := admin.TestResult{
		Server: server, Pinned: test.Pinned, Resumed: test.Resumed,
		Presented: admin.Probed{
			Fingerprint: orZero(test.Fingerprint), KeyLine: orZero(test.HostKey), Software: orZero(test.Software),
			Entries: test.Entries, Latency: time.Duration(test.LatencyMs) * time.Millisecond,
			ProbedDetails: test.Details(),
		},
	}
	if err == nil && !test.Ok {
		err = ingest.Errorf(ingest.Kind(orZero(test.ErrorKind)), "%s", orZero(test.Error))
	}
	return result, err
}
