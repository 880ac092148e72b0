package main

import (
	"context"
	"log/slog"
	osuser "os/user"

	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
	"stevedore/internal/wiring"
)

// installation provides the operations that use the parts of the service directly.
type installation interface {
	Setup(ctx context.Context, report func(wiring.StepReport), only ...string) error
	RotateKey(ctx context.Context, req operations.RotateRequest) (operations.RotateResult, error)
	Close()
}

// installed is an installation of the configured parts.
type installed struct {
	*wiring.Parts
	*operations.Service
}

// withParts runs fn on the parts of the service that the configuration names.
func (a *app) withParts(ctx context.Context, command string, component config.Component, fn func(ctx context.Context, parts installation) error) error {
	cfg, err := a.configurationFor(command, component)
	if err != nil {
		return err
	}
	log := a.logger(cfg)
	parts, err := a.open(cfg, log)
	if err != nil {
		return err
	}
	defer parts.Close()
	// Read access to the configuration is full access.
	err = fn(access.As(ctx, ingest.Principal{Name: user(), Role: ingest.RoleAdmin}), parts)
	if err != nil {
		log.Debug("command failed", "error", err)
	}
	return err
}

// logger returns a logger for commands. It is silent unless the level is debug, because
// messages of errors are complete.
func (a *app) logger(cfg config.Config) *slog.Logger {
	if cfg.Log.Level <= slog.LevelDebug {
		return telemetry.NewLogger(cfg.Log, a.stderr)
	}
	return slog.New(slog.DiscardHandler)
}

// user returns the name of the operating system's user for the audit log.
func user() string {
	if current, err := osuser.Current(); err == nil {
		return "cli:" + ingest.SafeName(current.Username)
	}
	return "cli"
}
