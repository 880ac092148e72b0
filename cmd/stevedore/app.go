package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
)

// daemon is a process that runs until its context ends.
type daemon func(ctx context.Context, cfg config.Config, log *slog.Logger) error

// app is one call of the program and the world around it.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	// terminal says that a person watches stderr: only then progress is shown.
	terminal bool
	// screen says the same of stdout: only then tables are coloured or redrawn.
	screen bool
	// person says that somebody can be asked: stdin and stderr are terminals.
	person bool
	// interval is how often --watch looks.
	interval time.Duration
	// poll is the interval at which running scans and audits are polled.
	poll time.Duration
	// open opens the parts of the service, servePrivately an API for one command.
	open           func(cfg config.Config, log *slog.Logger) installation
	servePrivately privateAPI
	runWorker      daemon
	runAPI         daemon

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
	cmd, err := root.ExecuteContextC(ctx)
	var status exitStatus
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	}
	if !a.started {
		err = usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	}
	fmt.Fprintf(a.stderr, "stevedore: %s\n", message(err))
	return exitCode(err)
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
