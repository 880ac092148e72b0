package api

import (
	"bytes"
	"context"
	_ "embed"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/telemetry"
	"stevedore/workflows"
)

//go:embed openapi.yaml
var specification []byte

// Operations is what the API does, see package admin.
type Operations interface {
	Scan(ctx context.Context, servers []string) (admin.ScanRun, error)
	ScanStatus(ctx context.Context, requestUUID string) (admin.ScanStatus, error)
	ListServers(ctx context.Context) ([]ingest.Server, error)
	ShowServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	ListFiles(ctx context.Context, filter ingest.FileFilter) (admin.FilePage, error)
	CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (ingest.Count, error)
	ShowFile(ctx context.Context, fileUUID string) (ingest.File, error)
	Events(ctx context.Context, fileUUID string) ([]ingest.StoredEvent, error)
	EventsPage(ctx context.Context, fileUUID string, afterID int64, limit int) (admin.EventPage, error)
	Progress(ctx context.Context, files []ingest.File) map[string]orchestrator.Progress
	Ready(ctx context.Context) []admin.PartStatus
	Overview(ctx context.Context) (admin.Overview, error)

	AddServer(ctx context.Context, in admin.NewServer) (ingest.Server, error)
	EditServer(ctx context.Context, nameOrUUID, version string, edit admin.ServerEdit) (ingest.Server, error)
	RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error)
	PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	DecideChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error)
	ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	TestServer(ctx context.Context, nameOrUUID string, ask admin.TestRequest) (admin.TestResult, error)
	Decide(ctx context.Context, uuidOrPrefix string, action admin.Action, d workflows.Decision) (ingest.File, error)
	DecideAll(ctx context.Context, req admin.BulkRequest) (admin.BulkResult, error)
	ListScans(ctx context.Context, server string, beforeID int64, limit int) (admin.ScanPage, error)
	ListReconciliations(ctx context.Context, beforeID int64, limit int) (admin.ReconciliationPage, error)
	StartAudit(ctx context.Context, servers []string, deep bool) (ingest.AuditRun, error)
	ShowAudit(ctx context.Context, runUUID string) (ingest.AuditRun, error)
	ListAudits(ctx context.Context, beforeID int64, limit int) (admin.AuditRunPage, error)
	AuditDifferences(ctx context.Context, runUUID string, afterSeq int64, limit int) (admin.DifferencePage, error)
	LastEventID(ctx context.Context) (int64, error)
	EventsAfter(ctx context.Context, afterID int64, limit int) ([]ingest.LedgerEvent, error)
	BeginAnswer(ctx context.Context, key ingest.AnswerKey, digest []byte) (known ingest.Answer, begun bool, err error)
	KeepAnswer(ctx context.Context, key ingest.AnswerKey, answer ingest.Answer) error

	// Authenticate returns whose token the secret is, or admin.TokenRefused.
	Authenticate(ctx context.Context, secret string) (ingest.Principal, error)
	// AuthenticateDigest does so for a token's digest.
	AuthenticateDigest(ctx context.Context, digest [32]byte) (ingest.Principal, error)
	// Sessions of the console, see package admin.
	OpenSession(ctx context.Context, token [32]byte) (cookie string, err error)
	SessionToken(ctx context.Context, cookie string) (token [32]byte, err error)
	CloseSession(ctx context.Context, cookie string) error
	CreateToken(ctx context.Context, in admin.NewToken) (ingest.Token, string, error)
	ListTokens(ctx context.Context) ([]ingest.Token, error)
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	AuditLog(ctx context.Context, beforeID int64, limit int) (admin.AuditPage, error)
}

// handlers answers the requests of openapi.StrictServerInterface. Errors go up as
// they are; problem.go makes the answer.
type handlers struct {
	ops          Operations
	startTimeout time.Duration
	// stopping is closed when streams are to end; may be nil.
	stopping <-chan struct{}
	metrics  *telemetry.API
	limits   *limits
	ready    *readiness
	now      func() time.Time
}

var _ openapi.StrictServerInterface = handlers{}

// GetLiveness says that the process answers.
func (h handlers) GetLiveness(context.Context, openapi.GetLivenessRequestObject) (openapi.GetLivenessResponseObject, error) {
	return openapi.GetLiveness200JSONResponse{Status: "alive"}, nil
}

// GetSpecification serves openapi.yaml.
func (h handlers) GetSpecification(context.Context, openapi.GetSpecificationRequestObject) (openapi.GetSpecificationResponseObject, error) {
	return openapi.GetSpecification200ApplicationYamlResponse{
		Body: bytes.NewReader(specification), ContentLength: int64(len(specification)),
	}, nil
}

// StartScan starts a scan and answers at once.
func (h handlers) StartScan(ctx context.Context, req openapi.StartScanRequestObject) (openapi.StartScanResponseObject, error) {
	var servers []string
	if req.Params.Server != nil {
		servers = append(servers, *req.Params.Server...)
	}
	if req.Body != nil && req.Body.Servers != nil {
		servers = append(servers, *req.Body.Servers...)
	}
	accepted, err := h.scan(ctx, servers)
	if err != nil {
		return nil, err
	}
	return openapi.StartScan202JSONResponse{Body: accepted, Headers: openapi.StartScan202ResponseHeaders{Location: &accepted.StatusURL}}, nil
}

// GetScan says how a scan goes.
func (h handlers) GetScan(ctx context.Context, req openapi.GetScanRequestObject) (openapi.GetScanResponseObject, error) {
	status, err := h.ops.ScanStatus(ctx, req.ScanUUID.String())
	if err != nil {
		return nil, err
	}
	return openapi.GetScan200JSONResponse(openapi.FromScan(status)), nil
}

// ListFiles returns one page of files.
func (h handlers) ListFiles(ctx context.Context, req openapi.ListFilesRequestObject) (openapi.ListFilesResponseObject, error) {
	filter, err := fileFilter(req.Params)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.ListFiles(ctx, filter)
	if err != nil {
		return nil, err
	}
	cursors, _, _ := filesCursor(filter.Order)
	answer := openapi.FilePage{Files: []openapi.File{}, NextCursor: cursors.write(page.Next)}
	for _, file := range page.Files {
		answer.Files = append(answer.Files, openapi.FromFile(file))
	}
	return openapi.ListFiles200JSONResponse(answer), nil
}

func fileFilter(params openapi.ListFilesParams) (ingest.FileFilter, error) {
	filter, err := selection(openapi.FileSelection{Server: params.Server, Path: params.Path, From: params.From, To: params.To, Hash: params.Hash}, "path")
	if err != nil {
		return filter, err
	}
	filter.Limit = pageLimit(params.Limit)
	filter.Left = params.Left != nil && *params.Left
	if params.UUID != nil {
		filter.UUID = *params.UUID
	}
	if params.Status != nil {
		for _, status := range *params.Status {
			filter.Statuses = append(filter.Statuses, ingest.Status(status))
		}
	}
	if params.Order != nil {
		filter.Order = ingest.FileOrder(*params.Order)
	}
	filter.AfterID, err = readFilesCursor(filter.Order, params.Cursor)
	return filter, err
}

// GetOverview says how everything stands.
func (h handlers) GetOverview(ctx context.Context, _ openapi.GetOverviewRequestObject) (openapi.GetOverviewResponseObject, error) {
	overview, err := h.ops.Overview(ctx)
	if err != nil {
		return nil, err
	}
	return openapi.GetOverview200JSONResponse(openapi.FromOverview(overview)), nil
}

// GetFile returns one file.
func (h handlers) GetFile(ctx context.Context, req openapi.GetFileRequestObject) (openapi.GetFileResponseObject, error) {
	file, err := h.ops.ShowFile(ctx, req.FileUUID.String())
	if err != nil {
		return nil, err
	}
	return openapi.GetFile200JSONResponse(openapi.FromFile(file)), nil
}

// GetFileProgress says how the step under way stands.
func (h handlers) GetFileProgress(ctx context.Context, req openapi.GetFileProgressRequestObject) (openapi.GetFileProgressResponseObject, error) {
	file, err := h.ops.ShowFile(ctx, req.FileUUID.String())
	if err != nil {
		return nil, err
	}
	answer := openapi.FileProgress{FileUUID: file.UUID}
	if progress, known := h.ops.Progress(ctx, []ingest.File{file})[file.UUID]; known {
		answer.Progress = openapi.FromProgress(progress)
	}
	return openapi.GetFileProgress200JSONResponse(answer), nil
}

// ListFileEvents returns one page of what happened to a file.
func (h handlers) ListFileEvents(ctx context.Context, req openapi.ListFileEventsRequestObject) (openapi.ListFileEventsResponseObject, error) {
	after, err := cursorEvents.read(req.Params.Cursor)
	if err != nil {
		return nil, err
	}
	page, err := h.ops.EventsPage(ctx, req.FileUUID.String(), after, pageLimit(req.Params.Limit))
	if err != nil {
		return nil, err
	}
	list := openapi.EventList{Events: []openapi.Event{}, NextCursor: cursorEvents.write(page.Next)}
	for _, event := range page.Events {
		list.Events = append(list.Events, openapi.FromEvent(event))
	}
	return openapi.ListFileEvents200JSONResponse(list), nil
}
