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
	"stevedore/internal/config"
	"stevedore/internal/wiring"
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
		open: func(cfg config.Config, log *slog.Logger) installation {
			parts := wiring.New(cfg, log, wiring.Options{})
			return installed{parts, parts.Operations()}
		},
		servePrivately: func(ctx context.Context, cfg config.Config, log *slog.Logger, actor string) (string, string, func(), error) {
			return api.ServePrivately(ctx, cfg, log, readVersion().Version, actor)
		},
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
