package main

import (
	"context"
	"log/slog"
	osuser "os/user"

	"github.com/spf13/cobra"

	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
	"stevedore/internal/wiring"
)

func (a *app) workerCommand() *cobra.Command {
	return a.daemonCommand("worker", "Run a worker, which transfers the files", config.ComponentWorker, a.runWorker)
}

func (a *app) apiCommand() *cobra.Command {
	return a.daemonCommand("api", "Run the REST API", config.ComponentAPI, a.runAPI)
}

// daemonCommand returns a command that runs until the process receives a signal. Its log
// and warnings about unknown variables go to stderr.
func (a *app) daemonCommand(name, short string, component config.Component, run daemon) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: none, Example: "  stevedore " + name,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.configurationFor(cmd.CommandPath(), component)
			if err != nil {
				return err
			}
			log := telemetry.NewLogger(cfg.Log, a.stderr)
			for _, warning := range cfg.Warnings() {
				log.Warn(warning)
			}
			if limit := telemetry.LimitMemory(); limit > 0 {
				log.Info("memory limit set", "limit_bytes", limit)
			}
			return run(cmd.Context(), cfg, log)
		},
	}
}

func (a *app) setupCommand() *cobra.Command {
	return a.stepsCommand("setup", "Prepare database, keyset, bucket, queue and Temporal; repeatable", config.ComponentSetup)
}

func (a *app) migrateCommand() *cobra.Command {
	return a.stepsCommand("migrate", "Update the database schema; repeatable", config.ComponentMigrate, wiring.StepDatabase)
}

// stepResult is a setup step as JSON.
type stepResult struct {
	Step    string `json:"step"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped"`
	Done    string `json:"done"`
	Error   string `json:"error"`
}

// stepsCommand returns a command that runs the given setup steps, or all of them.
func (a *app) stepsCommand(name, short string, component config.Component, only ...string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  stevedore " + name, Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts(cmd.Context(), cmd.CommandPath(), component, func(ctx context.Context, parts installation) error {
				steps := []stepResult{}
				err := parts.Setup(ctx, func(report wiring.StepReport) {
					steps = append(steps, a.showStep(report))
				}, only...)
				if a.format == formatJSON {
					_ = a.encode(steps)
				}
				return err
			})
		},
	}
}

// showStep prints a step when it ends, because some steps take long.
func (a *app) showStep(report wiring.StepReport) stepResult {
	step := stepResult{Step: report.Name, OK: report.Err == nil, Skipped: report.Skipped, Done: report.Done}
	mark, text := "ok     ", step.Done
	if report.Err != nil {
		step.Error = message(report.Err)
		mark, text = "FAILED ", step.Error
	}
	if step.Skipped {
		mark = "skipped"
	}
	if a.format != formatJSON {
		_ = a.showText(step, "%s  %-17s  %s", mark, step.Step, safe(text))
	}
	return step
}

const keyRotateLong = `Adds a new key to the keyset file and re-encrypts the credentials of all servers
with it. An interrupted rotation may be repeated: it continues with the key that
it added. Servers are used meanwhile; worker and API reload the file.

Older keys stay in the file, because backups of the database need them. Back up
the file afterwards, in another place than the database.

If several hosts have a copy of the file: add the key with --key-only, copy the
file to all hosts, then run the command again.`

// rotateResult is a rotation as JSON.
type rotateResult struct {
	NewKey   bool     `json:"new_key"`
	Servers  int      `json:"servers"`
	Resealed int      `json:"resealed"`
	Failed   []string `json:"failed"`
}

func (a *app) keyCommand() *cobra.Command {
	return group("key", "Rotate the key that encrypts credentials", a.keyRotateCommand())
}

func (a *app) keyRotateCommand() *cobra.Command {
	var req operations.RotateRequest
	cmd := &cobra.Command{
		Use: "rotate", Short: "Add a key and re-encrypt all credentials with it", Long: keyRotateLong, Args: none,
		Example: "  stevedore key rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts(cmd.Context(), cmd.CommandPath(), config.ComponentKeys, func(ctx context.Context, parts installation) error {
				progress := &progress{app: a}
				req.Progress = progress.rotation
				result, err := parts.RotateKey(ctx, req)
				progress.end()
				if err != nil && result.Resealed == 0 {
					return err
				}
				if printErr := a.showRotation(result, req.KeyOnly); printErr != nil {
					return printErr
				}
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&req.KeyOnly, "key-only", false, "add the key; the next run re-encrypts the credentials")
	return cmd
}

func (a *app) showRotation(r operations.RotateResult, keyOnly bool) error {
	result := rotateResult{NewKey: r.NewKey, Servers: r.Servers, Resealed: r.Resealed, Failed: append([]string{}, r.Failed...)}
	return a.show(result, func(t *table) {
		if r.NewKey {
			t.text("added a new key to the keyset file: back it up")
		} else {
			t.text("continued an earlier rotation: no key was added")
		}
		if keyOnly {
			t.text("copy the file to each host, then run `stevedore key rotate`")
			return
		}
		t.text("re-encrypted the credentials of %d of %s", r.Resealed, ingest.Counted(int64(r.Servers), "server", "servers"))
	})
}

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
