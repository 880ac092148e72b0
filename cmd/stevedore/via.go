package main

import (
	"context"
	"fmt"
	"log/slog"

	"stevedore/api/oas"
	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/internal/telemetry"
	"stevedore/workflows"
)

// operations is what commands do wherever they run: package admin on the
// database itself, package remote by asking the API.
type operations interface {
	AddServer(ctx context.Context, in admin.NewServer) (ingest.Server, error)
	ListServers(ctx context.Context) ([]ingest.Server, error)
	ShowServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	// ReadServer returns also the version that EditServer and RemoveServer ask for.
	ReadServer(ctx context.Context, nameOrUUID string) (ingest.Server, string, error)
	EditServer(ctx context.Context, nameOrUUID, version string, settings oas.ServerSettings) (ingest.Server, error)
	RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error)
	TestServer(ctx context.Context, nameOrUUID string, ask admin.TestRequest) (admin.TestResult, error)
	PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	DecideChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error)
	ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	Scan(ctx context.Context, servers []string) (admin.ScanRun, error)
	WaitScan(ctx context.Context, run admin.ScanRun, progress func(admin.ScanProgress)) (admin.ScanOutcome, error)
	PartReady(ctx context.Context, part string) error
	EachFile(ctx context.Context, filter ingest.FileFilter, limit int, fn func(ingest.File) error) error
	ShowFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	Events(ctx context.Context, fileUUID string) ([]ingest.StoredEvent, error)
	// Progress says how the steps of the files under way stand, by uuid; those
	// that cannot be told in time are left out.
	Progress(ctx context.Context, files []ingest.File) map[string]admin.Progress
	Decide(ctx context.Context, uuidOrPrefix string, action admin.Action, d workflows.Decision) (ingest.File, error)
	DecideAll(ctx context.Context, req admin.BulkRequest) (admin.BulkResult, error)
	CreateToken(ctx context.Context, in admin.NewToken) (ingest.Token, string, error)
	ListTokens(ctx context.Context) ([]ingest.Token, error)
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	Audit(ctx context.Context, req admin.AuditRequest, fn func(oracle.Difference) error) (admin.AuditSummary, error)
	Close()
}

// localOperations also needs what the API does not have: all the parts, or the
// keyset.
type localOperations interface {
	operations
	Setup(ctx context.Context, report func(admin.StepReport), only ...string) error
	RotateKey(ctx context.Context, req admin.RotateRequest) (admin.RotateResult, error)
}

// local is package admin with the settings that the API takes, too.
type local struct{ *admin.Admin }

// EditServer changes the given settings.
func (l local) EditServer(ctx context.Context, nameOrUUID, version string, settings oas.ServerSettings) (ingest.Server, error) {
	edit, err := settings.Edit()
	if err != nil {
		return ingest.Server{}, err
	}
	return l.Admin.EditServer(ctx, nameOrUUID, version, edit)
}

// with runs fn on the database where one is configured, else by the API; --via
// chooses otherwise.
func (a *app) with(name string, fn func(ops operations) error) error {
	return a.withParts(name, config.ComponentMigrate, fn)
}

// withParts is with for what needs more than the database when it is done here.
func (a *app) withParts(name string, component config.Component, fn func(ops operations) error) error {
	cfg, err := a.configuration()
	if err != nil {
		return err
	}
	if cfg.Client.Via == config.ViaLocal || cfg.Client.Via != config.ViaAPI && cfg.Database.URL != "" {
		return a.withLocal(name, component, func(ops localOperations) error { return fn(ops) })
	}
	ops, err := a.dial(cfg) // first: it explains a missing token best
	if err != nil {
		return err
	}
	defer ops.Close()
	if err := validate(cfg, name, config.ComponentCLI); err != nil {
		return err
	}
	return fn(ops)
}

// withLocal runs fn on the parts themselves. Logs stay silent unless they are
// asked for: what people must know is in the error.
func (a *app) withLocal(name string, component config.Component, fn func(ops localOperations) error) error {
	cfg, err := a.loadLocal(name, component)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if cfg.Log.Level <= slog.LevelDebug {
		log = telemetry.NewLogger(cfg.Log, a.stderr)
	}
	ops := a.open(cfg, log)
	defer ops.Close()
	err = fn(ops)
	if err != nil {
		log.Debug("command failed", "error", err)
	}
	return err
}

// loadLocal reads the configuration of a command that the API cannot do.
func (a *app) loadLocal(name string, component config.Component) (config.Config, error) {
	cfg, err := a.configuration()
	if err != nil {
		return cfg, err
	}
	if cfg.Client.Via == config.ViaAPI {
		return cfg, usageError{fmt.Errorf("`stevedore %s` cannot be done by the API: run it where the service is configured, without --via api and STEVEDORE_VIA=api", name)}
	}
	return cfg, validate(cfg, name, component)
}
