package client

import (
	"context"
	"strings"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// AnyVersion matches every version of a server.
const AnyVersion = "*"

// AddServer adds a server.
func (c *API) AddServer(ctx context.Context, settings openapi.ServerSettings) (openapi.Server, error) {
	return reply[openapi.Server]{c}.of(c.raw.CreateServer(ctx, nil, settings))
}

// ListServers returns all servers in order of name.
func (c *API) ListServers(ctx context.Context) ([]openapi.Server, error) {
	list, err := reply[openapi.ServerList]{c}.of(c.raw.ListServers(ctx))
	return list.Servers, err
}

// Server returns the server with the name or uuid, and its version for EditServer and
// RemoveServer.
func (c *API) Server(ctx context.Context, nameOrUUID string) (server openapi.Server, version string, err error) {
	server, header, err := reply[openapi.Server]{c}.withHeader(c.raw.GetServer(ctx, nameOrUUID))
	if err != nil {
		return server, "", err
	}
	return server, strings.Trim(header.Get("ETag"), `"`), nil
}

// EditServer changes the given settings of a server. A server of another version is
// ErrStale.
func (c *API) EditServer(ctx context.Context, nameOrUUID, version string, settings openapi.ServerSettings) (openapi.Server, error) {
	return reply[openapi.Server]{c}.of(c.raw.EditServer(ctx, nameOrUUID, &openapi.EditServerParams{IfMatch: ifMatch(version)}, settings))
}

// RemoveServer removes a server. A server of another version is ErrStale.
func (c *API) RemoveServer(ctx context.Context, nameOrUUID, version string) error {
	_, err := reply[struct{}]{c}.of(c.raw.RemoveServer(ctx, nameOrUUID, &openapi.RemoveServerParams{IfMatch: ifMatch(version)}))
	return err
}

func ifMatch(version string) *openapi.IfMatch {
	if version != AnyVersion {
		version = `"` + version + `"`
	}
	return &version
}

// PauseServer stops scans of a server.
func (c *API) PauseServer(ctx context.Context, nameOrUUID string) (openapi.Server, error) {
	return reply[openapi.Server]{c}.of(c.raw.PauseServer(ctx, nameOrUUID, nil))
}

// ResumeServer ends a pause or a suspension.
func (c *API) ResumeServer(ctx context.Context, nameOrUUID string) (openapi.Server, error) {
	return reply[openapi.Server]{c}.of(c.raw.ResumeServer(ctx, nameOrUUID, nil))
}

// DecideChanges resolves the held changes of a server and returns the number of files.
func (c *API) DecideChanges(ctx context.Context, nameOrUUID string, decision openapi.ChangesDecision) (int64, error) {
	decided, err := reply[openapi.ChangesDecided]{c}.of(c.raw.DecideChanges(ctx, nameOrUUID, nil, decision))
	return decided.Files, err
}

// TestServer connects to a server and logs in. With a fingerprint in approval it pins
// the presented host key first. The result is valid beside an error about the
// partner's server.
func (c *API) TestServer(ctx context.Context, nameOrUUID string, approval openapi.HostKeyApproval, sample bool) (openapi.ServerTest, error) {
	read := reply[openapi.ServerTest]{c}
	var test openapi.ServerTest
	var err error
	if approval.Fingerprint == "" {
		test, err = read.of(c.raw.TestServer(ctx, nameOrUUID, &openapi.TestServerParams{Sample: &sample}))
	} else {
		test, err = read.of(c.raw.ApproveHostKey(ctx, nameOrUUID, &openapi.ApproveHostKeyParams{Sample: &sample}, approval))
	}
	if err == nil && !test.Ok {
		err = ingest.Errorf(ingest.Kind(orZero(test.ErrorKind)), "%s", orZero(test.Error))
	}
	return test, err
}

// orZero returns the value that the pointer holds, or the zero value.
func orZero[T any](value *T) T {
	if value == nil {
		var zero T
		return zero
	}
	return *value
}
