package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/oracle"
	"stevedore/internal/telemetry"
	"stevedore/workflows"
)

// operations is what the commands do, see package admin.
type operations interface {
	Setup(ctx context.Context, report func(admin.StepReport), only ...string) error
	AddServer(ctx context.Context, in admin.NewServer) (ingest.Server, error)
	ListServers(ctx context.Context) ([]ingest.Server, error)
	ShowServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	TestServer(ctx context.Context, nameOrUUID, approve string) (admin.TestResult, error)
	PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error)
	Scan(ctx context.Context, servers []string) (admin.ScanRun, error)
	WaitScan(ctx context.Context, run admin.ScanRun, progress func(admin.ScanProgress)) (admin.ScanOutcome, error)
	PartReady(ctx context.Context, part string) error
	EachFile(ctx context.Context, filter ingest.FileFilter, limit int, fn func(ingest.File) error) error
	ShowFile(ctx context.Context, uuidOrPrefix string) (ingest.File, error)
	Events(ctx context.Context, fileUUID string) ([]ingest.StoredEvent, error)
	Decide(ctx context.Context, uuidOrPrefix string, action admin.Action, d workflows.Decision) (ingest.File, error)
	Audit(ctx context.Context, req admin.AuditRequest, fn func(oracle.Difference) error) (admin.AuditSummary, error)
	CreateToken(ctx context.Context, in admin.NewToken) (ingest.Token, string, error)
	ListTokens(ctx context.Context) ([]ingest.Token, error)
	RevokeToken(ctx context.Context, name string) (ingest.Token, error)
	Close()
}

// daemon is a process that runs until its context ends.
type daemon func(ctx context.Context, cfg config.Config, log *slog.Logger) error

// app is one call of the program and the world around it.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	// terminal says that a person watches stderr: only then progress is shown.
	terminal  bool
	open      func(cfg config.Config, log *slog.Logger) operations
	runWorker daemon
	runAPI    daemon

	// format and configFile are global flags, configFlags the values of the
	// flags that stand for variables.
	format      format
	configFile  string
	configFlags map[string]*string
	// started says that flags and arguments were understood.
	started bool
}

// run executes the command line and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	// Whoever may read the configuration may do everything.
	ctx = admin.As(ctx, ingest.Principal{Name: actor(), Role: ingest.RoleAdmin})
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if !a.started {
		err = usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	}
	fmt.Fprintf(a.stderr, "stevedore: %s\n", message(err))
	return exitCode(err)
}

// load reads the configuration and checks it for a component. name is the
// command as people call it, for the error.
func (a *app) load(name string, component config.Component) (config.Config, error) {
	cfg, err := a.configuration()
	if err != nil {
		return cfg, err
	}
	return cfg, validate(cfg, name, component)
}

func (a *app) configuration() (config.Config, error) {
	flags := map[string]string{}
	for name, value := range a.configFlags {
		if value != nil && *value != "" {
			flags[name] = *value
		}
	}
	cfg, err := config.Load(config.Options{Environ: a.environ, File: a.configFile, Flags: flags})
	if err != nil {
		return cfg, ingest.Errorf(ingest.KindInvalid, "%s", err)
	}
	return cfg, nil
}

// withAdmin runs fn with what the database-bound commands need. Logs stay
// silent unless they are asked for: what people must know is in the error.
func (a *app) withAdmin(name string, component config.Component, fn func(ops operations) error) error {
	cfg, err := a.load(name, component)
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
