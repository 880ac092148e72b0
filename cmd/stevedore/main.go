// Command stevedore is the worker, the REST API and the command line of stevedore.
package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"stevedore/api"
	"stevedore/internal/config"
	"stevedore/internal/wiring"
	"stevedore/worker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(),
		stdoutSize:  terminalSize(os.Stdout),
		stderrSize:  terminalSize(os.Stderr),
		interactive: term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stderr.Fd())),
		refresh:     time.Second,
		report:      10 * time.Second,
		patience:    2 * time.Second,
		now:         time.Now,
		open: func(cfg config.Config, log *slog.Logger) (installation, error) {
			parts, err := wiring.New(cfg, log, wiring.Options{})
			if err != nil {
				return nil, err
			}
			return installed{parts, parts.Operations()}, nil
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

// terminalSize returns a function that returns the size of the file's terminal, and
// zeros when the file is no terminal.
func terminalSize(file *os.File) func() (width, height int) {
	return func() (int, int) {
		if !term.IsTerminal(int(file.Fd())) {
			return 0, 0
		}
		width, height, _ := term.GetSize(int(file.Fd())) // a pseudo-terminal may have none
		return cmp.Or(width, 80), cmp.Or(height, 24)
	}
}
