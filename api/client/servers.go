package client

import (
	"context"
	"net/http"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// AddServer adds a server.
func (c *API) AddServer(ctx context.Context, settings openapi.ServerSettings) (openapi.Server, error) {
	return read[openapi.Server](c.raw.CreateServer(ctx, nil, settings))
}

// ListServers returns all servers in order of name.
func (c *API) ListServers(ctx context.Context) ([]openapi.Server, error) {
	list, err := read[openapi.ServerList](c.raw.ListServers(ctx))
	return list.Servers, err
}

// Server returns the server with the name or uuid, and its version for EditServer and
// RemoveServer.
func (c *API) Server(ctx context.Context, nameOrUUID string) (server openapi.Server, version string, err error) {
	response, err := c.raw.GetServer(ctx, nameOrUUID)
	if server, err = read[openapi.Server](response, err); err == nil {
		version = strings.Trim(response.Header.Get("ETag"), `"`)
	}
	return server, version, err
}

// EditServer changes the given settings of a server. A server of another version is
// ErrStale.
func (c *API) EditServer(ctx context.Context, nameOrUUID, version string, settings openapi.ServerSettings) (openapi.Server, error) {
	return read[openapi.Server](c.raw.EditServer(ctx, nameOrUUID, &openapi.EditServerParams{IfMatch: ifMatch(version)}, settings))
}

// RemoveServer removes a server. A server of another version is ErrStale.
func (c *API) RemoveServer(ctx context.Context, nameOrUUID, version string) error {
	_, err := read[struct{}](c.raw.RemoveServer(ctx, nameOrUUID, &openapi.RemoveServerParams{IfMatch: ifMatch(version)}))
	return err
}

// Statistics counts the completed and failed files of a period.
func (c *API) Statistics(ctx context.Context, params openapi.GetStatisticsParams) (openapi.Statistics, error) {
	return read[openapi.Statistics](c.raw.GetStatistics(ctx, &params))
}

func ifMatch(version string) *openapi.IfMatch {
	version = `"` + version + `"`
	return &version
}

// PauseServer stops scans of a server.
func (c *API) PauseServer(ctx context.Context, nameOrUUID string) (openapi.Server, error) {
	return read[openapi.Server](c.raw.PauseServer(ctx, nameOrUUID, nil))
}

// ResumeServer ends a pause or a suspension.
func (c *API) ResumeServer(ctx context.Context, nameOrUUID string) (openapi.Server, error) {
	return read[openapi.Server](c.raw.ResumeServer(ctx, nameOrUUID, nil))
}

// DecideChanges resolves the held changes of a server and returns the number of files.
func (c *API) DecideChanges(ctx context.Context, nameOrUUID string, decision openapi.ChangesDecision) (int64, error) {
	decided, err := read[openapi.ChangesDecided](c.raw.DecideChanges(ctx, nameOrUUID, nil, decision))
	return decided.Files, err
}

// TestServer connects to a server and logs in. With a fingerprint in approval it first
// pins the presented host key. With sample it also lists files. If the test fails because
// of the partner's server, both the result and the error are returned.
func (c *API) TestServer(ctx context.Context, nameOrUUID string, approval openapi.HostKeyApproval, sample bool) (openapi.ServerTest, error) {
	if approval.Fingerprint == "" {
		return tested(c.raw.TestServer(ctx, nameOrUUID, &openapi.TestServerParams{Sample: &sample}))
	}
	return tested(c.raw.ApproveHostKey(ctx, nameOrUUID, &openapi.ApproveHostKeyParams{Sample: &sample}, approval))
}

// TestSettings tests settings as TestServer does and saves nothing.
func (c *API) TestSettings(ctx context.Context, settings openapi.ServerSettings, sample bool) (openapi.ServerTest, error) {
	return tested(c.raw.TestServerSettings(ctx, &openapi.TestServerSettingsParams{Sample: &sample}, settings))
}

func tested(response *http.Response, err error) (openapi.ServerTest, error) {
	test, err := read[openapi.ServerTest](response, err)
	if err == nil && !test.Ok {
		err = ingest.Errorf(ingest.Kind(orZero(test.ErrorKind)), "%s", orZero(test.Error))
	}
	return test, err
}
