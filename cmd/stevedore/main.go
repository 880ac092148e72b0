// Command stevedore is the one binary: the worker, the REST API, and what
// operators need at the command line.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"

	"stevedore/api"
	"stevedore/internal/admin"
	"stevedore/internal/config"
	"stevedore/internal/remote"
	"stevedore/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(),
		terminal: isatty.IsTerminal(os.Stderr.Fd()),
		person:   isatty.IsTerminal(os.Stdin.Fd()) && isatty.IsTerminal(os.Stderr.Fd()),
		interval: time.Second,
		screen:   isatty.IsTerminal(os.Stdout.Fd()),
		open:     func(cfg config.Config, log *slog.Logger) localOperations { return local{admin.Open(cfg, log)} },
		dial:     dial,
		runWorker: func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
			return worker.Run(ctx, cfg, log, readVersion().Version)
		},
		runAPI: func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
			return api.Run(ctx, cfg, log, readVersion().Version)
		},
	}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// dial returns what asks the API.
func dial(cfg config.Config) (operations, error) {
	client, err := remote.New(remote.Config{URL: cfg.Client.URL.Reveal(), Token: cfg.API.Token.Reveal()})
	if err != nil {
		return nil, err
	}
	return client, nil
}
