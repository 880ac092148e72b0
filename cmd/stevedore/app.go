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

// app is one call of the program, with its environment.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	environ        []string
	// stdoutSize and stderrSize return the size of the terminal in characters, and
	// zeros for a pipe or file. A nil function is a pipe.
	stdoutSize, stderrSize func() (width, height int)
	// interactive reports whether a user can answer questions.
	interactive bool
	// refresh is the interval of --watch.
	refresh time.Duration
	// poll is the interval at which running scans and audits are polled.
	poll time.Duration
	// report is the time after which a command that waits for a scan first lists what it
	// waits for. The time to the next list doubles, up to maxReport.
	report time.Duration
	// patience bounds calls of the API that are helpful but not needed, such as completions.
	patience time.Duration
	now      func() time.Time
	// open opens the parts of the service, servePrivately an API for one command.
	open           func(cfg config.Config, log *slog.Logger) (installation, error)
	servePrivately privateAPI
	runWorker      daemon
	runAPI         daemon

	// format and configFile are global flags, configFlags the values of the
	// flags that stand for variables.
	format      format
	configFile  string
	configFlags map[string]*string
	// parsed reports whether flags and arguments are valid.
	parsed bool
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
	if !a.parsed {
		err = usageErrorf("%w; see `%s --help`", err, cmd.CommandPath())
	}
	fmt.Fprintf(a.stderr, "stevedore: %s\n", message(withFlags(cmd, err)))
	return exitCode(err)
}

func (a *app) configuration() (config.Config, error) {
	flags := map[string]string{}
	for name, value := range a.configFlags {
		if *value != "" {
			flags[name] = *value
		}
	}
	cfg, err := config.Load(config.Options{Environ: a.environ, File: a.configFile, Flags: flags})
	if err != nil {
		return cfg, ingest.Errorf(ingest.KindInvalid, "%s", err)
	}
	return cfg, nil
}

// configurationFor returns the configuration, valid for the component. Errors name the
// command instead of the component, whose needs several commands share.
func (a *app) configurationFor(command string, component config.Component) (config.Config, error) {
	cfg, err := a.configuration()
	if err != nil {
		return cfg, err
	}
	err = cfg.Validate(component)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		err = &config.Error{Component: config.Component("`" + command + "`"), Problems: wrong.Problems}
	}
	return cfg, err
}
