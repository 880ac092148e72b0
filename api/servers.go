package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"stevedore/api/openapi"
	"stevedore/api/web"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// actionTimeout bounds requests that wait for a workflow's response; it is below the
// server's write timeout.
const actionTimeout = 20 * time.Second

func etag(s ingest.Server) *string {
	tag := `"` + operations.ServerVersion(s) + `"`
	return &tag
}

// version parses an If-Match header with one or several tags. A weak tag equals its strong
// form, because proxies that compress responses weaken ETags.
func version(ifMatch *string) (string, error) {
	var tags []string
	if ifMatch != nil {
		for tag := range strings.SplitSeq(*ifMatch, ",") {
			if tag = strings.Trim(strings.TrimPrefix(strings.TrimSpace(tag), "W/"), `"`); tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	if len(tags) == 0 {
		return "", web.Refuse(http.StatusPreconditionRequired, "send `If-Match` with the ETag of the server as you read it, or `*`")
	}
	return strings.Join(tags, ","), nil
}

// ListServers returns all servers.
func (h handlers) ListServers(ctx context.Context, _ openapi.ListServersRequestObject) (openapi.ListServersResponseObject, error) {
	servers, err := h.Operations.ListServers(ctx)
	return openapi.ListServers200JSONResponse{Servers: openapi.List(servers, openapi.FromServer)}, err
}

// GetServer returns one server.
func (h handlers) GetServer(ctx context.Context, req openapi.GetServerRequestObject) (openapi.GetServerResponseObject, error) {
	server, err := h.Operations.GetServer(ctx, req.NameOrUUID)
	return openapi.GetServer200JSONResponse{Body: openapi.FromServer(server), Headers: openapi.GetServer200ResponseHeaders{ETag: etag(server)}}, err
}

// CreateServer adds a server.
func (h handlers) CreateServer(ctx context.Context, req openapi.CreateServerRequestObject) (openapi.CreateServerResponseObject, error) {
	in, err := newServer(*req.Body)
	if err != nil {
		return nil, err
	}
	server, err := h.Operations.AddServer(ctx, in)
	location := "/api/v1/servers/" + server.UUID
	return openapi.CreateServer201JSONResponse{
		Body: openapi.FromServer(server), Headers: openapi.CreateServer201ResponseHeaders{ETag: etag(server), Location: &location},
	}, err
}

func newServer(settings openapi.ServerSettings) (in operations.NewServer, err error) {
	edit, err := settings.Edit()
	if err != nil {
		return in, err
	}
	in = operations.NewServer{Credentials: ingest.Credentials{Password: edit.Password, PrivateKey: edit.PrivateKey}, KeyExtras: edit.KeyExtras}
	in.Server.Settle = -1 // the default of the configuration
	edit.Settings(&in.Server)
	return in, nil
}

// TestServerSettings tests settings that are not saved.
func (h handlers) TestServerSettings(ctx context.Context, req openapi.TestServerSettingsRequestObject) (openapi.TestServerSettingsResponseObject, error) {
	in, err := newServer(*req.Body)
	if err != nil {
		return nil, err
	}
	test, err := tested(h.Operations.TestSettings(ctx, in, orZero(req.Params.Sample)))
	return openapi.TestServerSettings200JSONResponse(test), err
}

// EditServer changes a server.
func (h handlers) EditServer(ctx context.Context, req openapi.EditServerRequestObject) (openapi.EditServerResponseObject, error) {
	version, edit, err := readEdit(req.Params.IfMatch, req.Body)
	if err != nil {
		return nil, err
	}
	server, err := h.Operations.EditServer(ctx, req.NameOrUUID, version, edit)
	return openapi.EditServer200JSONResponse{Body: openapi.FromServer(server), Headers: openapi.EditServer200ResponseHeaders{ETag: etag(server)}}, err
}

// TestServerEdit tests a server with changes that are not saved.
func (h handlers) TestServerEdit(ctx context.Context, req openapi.TestServerEditRequestObject) (openapi.TestServerEditResponseObject, error) {
	version, edit, err := readEdit(req.Params.IfMatch, req.Body)
	if err != nil {
		return nil, err
	}
	test, err := tested(h.Operations.TestEdit(ctx, req.NameOrUUID, version, edit, orZero(req.Params.Sample)))
	return openapi.TestServerEdit200JSONResponse(test), err
}

func readEdit(ifMatch *string, settings *openapi.ServerSettings) (of string, edit operations.ServerEdit, err error) {
	if of, err = version(ifMatch); err == nil {
		edit, err = settings.Edit()
	}
	return of, edit, err
}

// RemoveServer removes a server.
func (h handlers) RemoveServer(ctx context.Context, req openapi.RemoveServerRequestObject) (openapi.RemoveServerResponseObject, error) {
	version, err := version(req.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	_, err = h.Operations.RemoveServer(ctx, req.NameOrUUID, version)
	return openapi.RemoveServer204Response{}, err
}

// PauseServer stops scans of a server.
func (h handlers) PauseServer(ctx context.Context, req openapi.PauseServerRequestObject) (openapi.PauseServerResponseObject, error) {
	server, err := h.Operations.PauseServer(ctx, req.NameOrUUID)
	return openapi.PauseServer200JSONResponse{Body: openapi.FromServer(server), Headers: openapi.PauseServer200ResponseHeaders{ETag: etag(server)}}, err
}

// ResumeServer ends the pause or suspension of a server.
func (h handlers) ResumeServer(ctx context.Context, req openapi.ResumeServerRequestObject) (openapi.ResumeServerResponseObject, error) {
	server, err := h.Operations.ResumeServer(ctx, req.NameOrUUID)
	return openapi.ResumeServer200JSONResponse{Body: openapi.FromServer(server), Headers: openapi.ResumeServer200ResponseHeaders{ETag: etag(server)}}, err
}

// DecideChanges resolves the held changes of a server.
func (h handlers) DecideChanges(ctx context.Context, req openapi.DecideChangesRequestObject) (openapi.DecideChangesResponseObject, error) {
	n, err := h.Operations.ResolveChanges(ctx, req.NameOrUUID, ingest.ChangesDecision(req.Body.Decision), orZero(req.Body.Part), req.Body.Reason)
	return openapi.DecideChanges200JSONResponse(openapi.ChangesDecided{Files: n}), err
}

// TestServer connects to a server, within the server's timeouts.
func (h handlers) TestServer(ctx context.Context, req openapi.TestServerRequestObject) (openapi.TestServerResponseObject, error) {
	test, err := tested(h.Operations.TestServer(ctx, req.NameOrUUID, operations.TestRequest{Sample: orZero(req.Params.Sample)}))
	return openapi.TestServer200JSONResponse(test), err
}

// ApproveHostKey pins the key with the fingerprint. If the server presents another key,
// nothing is pinned and the response is a conflict.
func (h handlers) ApproveHostKey(ctx context.Context, req openapi.ApproveHostKeyRequestObject) (openapi.ApproveHostKeyResponseObject, error) {
	ask := operations.TestRequest{Approve: req.Body.Fingerprint, Expires: orZero(req.Body.Expires), Sample: orZero(req.Params.Sample)}
	result, err := h.Operations.TestServer(ctx, req.NameOrUUID, ask)
	if err != nil && result.Presented.Fingerprint != req.Body.Fingerprint {
		return nil, err
	}
	test, err := tested(result, err)
	return openapi.ApproveHostKey200JSONResponse(test), err
}

// tested returns the result of a server test. A server that is unreachable or refuses the
// login is a result; an error is returned only if it prevented the test.
func tested(result operations.TestResult, err error) (openapi.ServerTest, error) {
	var known *ingest.Error
	aboutServer := errors.As(err, &known) && known.Kind != ingest.KindMissing && known.Kind != ingest.KindInvalid
	if err != nil && (result.Server.UUID == "" || !aboutServer) {
		return openapi.ServerTest{}, err
	}
	return openapi.FromTest(result, err), nil
}

// ScanServer starts a scan of one server.
func (h handlers) ScanServer(ctx context.Context, req openapi.ScanServerRequestObject) (openapi.ScanServerResponseObject, error) {
	accepted, err := h.scan(ctx, []string{req.NameOrUUID})
	return openapi.ScanServer202JSONResponse{Body: accepted, Headers: openapi.ScanServer202ResponseHeaders{Location: &accepted.StatusURL}}, err
}

// scan starts a scan and does not wait for it.
func (h handlers) scan(ctx context.Context, servers []string) (openapi.ScanAccepted, error) {
	ctx, cancel := context.WithTimeout(ctx, h.StartTimeout)
	defer cancel()
	run, err := h.Operations.StartScan(ctx, servers)
	return openapi.ScanAccepted{
		ScanUUID: run.UUID, WorkflowID: run.WorkflowID, RunID: run.RunID, StatusURL: "/api/v1/scans/" + run.UUID,
		Servers: run.Servers, Suspended: openapi.List(run.Suspended, func(s ingest.Server) string { return s.Name }),
	}, err
}
