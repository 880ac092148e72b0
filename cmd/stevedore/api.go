package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/internal/config"
)

// withAPI runs fn with a client of the API that the configuration names.
func (a *app) withAPI(name string, fn func(api *client.API) error) error {
	cfg, err := a.configuration()
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: cfg.Client.URL.Reveal(), Token: cfg.API.Token.Reveal(), Poll: a.poll})
	if err != nil {
		return err
	}
	if err := validate(cfg, name, config.ComponentCLI); err != nil {
		return err
	}
	return fn(api)
}

const breakGlassLong = `Runs another command without a running API: it starts a private API in this
process, on a loopback address and with a one-time token, and runs the command
on it. It needs the configuration of the service, so whoever can read that can
use it. The ledger's audit log names the user. For emergencies: a running API
makes it unnecessary.`

// exitStatus is the exit code of a command that has printed its own error.
type exitStatus int

// Error is never printed.
func (e exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func (a *app) breakGlassCommand() *cobra.Command {
	return &cobra.Command{
		Use: "break-glass -- COMMAND...", Short: "Run a command without a running API, in an emergency", Long: breakGlassLong,
		Example: "  stevedore break-glass -- file retry 0ab5fe59 --reason 'the API is down'",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.breakGlass(cmd.Context(), args) },
	}
}

func (a *app) breakGlass(ctx context.Context, args []string) error {
	cfg, err := a.configuration()
	if err != nil {
		return err
	}
	if err := validate(cfg, "break-glass", config.ComponentBreakGlass); err != nil {
		return err
	}
	url, token, stop, err := a.servePrivately(ctx, cfg, a.logger(cfg), user())
	if err != nil {
		return err
	}
	defer stop()
	inner := *a
	inner.started = false
	inner.environ = append(slices.Clone(a.environ), "STEVEDORE_API_URL="+url, "STEVEDORE_TOKEN="+token)
	if a.configFile != "" {
		args = append([]string{"--config", a.configFile}, args...)
	}
	if code := inner.run(ctx, args); code != exitOK {
		return exitStatus(code)
	}
	return nil
}

// privateAPI serves the API until stop is called, for one caller.
type privateAPI func(ctx context.Context, cfg config.Config, log *slog.Logger, actor string) (url, token string, stop func(), err error)
