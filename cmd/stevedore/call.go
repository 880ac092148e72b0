package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/internal/config"
)

// withAPI runs fn with a client of the API that the configuration names.
func (a *app) withAPI(command string, fn func(api *client.API) error) error {
	if text := *a.configFlags["api-url"]; text != "" && !isAddress(text) {
		return usageErrorf("--api-url %q: use http://host:port or https://host", safe(text))
	}
	cfg, err := a.configuration()
	if err != nil {
		return err
	}
	api, err := client.New(client.Config{URL: cfg.Client.URL.Reveal(), Token: cfg.API.Token.Reveal(), Poll: a.poll})
	if err != nil {
		return err
	}
	if _, err := a.configurationFor(command, config.ComponentCLI); err != nil {
		return err
	}
	return fn(api)
}

// isAddress reports whether the text is the URL of a web server.
func isAddress(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

// calling returns the function of a command that calls the API.
func (a *app) calling(fn func(ctx context.Context, api *client.API, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		return a.withAPI(cmd.CommandPath(), func(api *client.API) error { return fn(cmd.Context(), api, args) })
	}
}

const breakGlassLong = `Runs another command without a running API: starts a private API in this
process, on a loopback address and with a one-time token, and runs the command
against it. Requires the configuration of the service. The ledger's audit log
records the user of the operating system.

For emergencies only: while an API runs, use that, with a token of your own. It
records who you are and checks your role.`

// exitStatus is the exit code of a command that has printed its own error.
type exitStatus int

// Error implements error. It is never printed.
func (e exitStatus) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// privateAPI serves the API to one caller until stop is called.
type privateAPI func(ctx context.Context, cfg config.Config, log *slog.Logger, actor string) (url, token string, stop func(), err error)

func (a *app) breakGlassCommand() *cobra.Command {
	return &cobra.Command{
		Use: "break-glass -- COMMAND...", Short: "Run a command without a running API, in an emergency", Long: breakGlassLong,
		Example: "  stevedore break-glass -- file retry 0ab5fe59 --reason 'the API is down'",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageErrorf("no command given: see `stevedore break-glass --help`")
			}
			cfg, err := a.configurationFor(cmd.CommandPath(), config.ComponentBreakGlass)
			if err != nil {
				return err
			}
			a.warnOfAPI(cmd.Context(), cfg)
			url, token, stop, err := a.servePrivately(cmd.Context(), cfg, a.logger(cfg), user())
			if err != nil {
				return err
			}
			defer stop()
			inner := *a
			inner.parsed = false
			inner.environ = append(slices.Clone(a.environ), "STEVEDORE_API_URL="+url, "STEVEDORE_TOKEN="+token)
			if a.configFile != "" {
				args = append([]string{"--config", a.configFile}, args...)
			}
			if code := inner.run(cmd.Context(), args); code != exitOK {
				return exitStatus(code)
			}
			return nil
		},
	}
}

// warnOfAPI notes that an API runs, which makes break-glass unnecessary.
func (a *app) warnOfAPI(ctx context.Context, cfg config.Config) {
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	address := cfg.Client.URL.Reveal()
	running, err := client.New(client.Config{URL: address, Token: "none"}) // liveness needs no token
	if err != nil {
		return
	}
	if _, err := running.GetLiveness(ctx); err == nil {
		a.note("warning: an API is running at %s: run the command without break-glass and with a token of your own, so that it is recorded under your name", safe(address))
	}
}

// errDeclined ends a command that the user did not confirm.
var errDeclined = errors.New("nothing was changed")

// confirm asks the user to confirm the action, unless yes is set. Without a terminal it
// returns a usage error, so that scripts must set yes.
func (a *app) confirm(yes bool, format string, args ...any) error {
	action := fmt.Sprintf(format, args...)
	switch {
	case yes:
		return nil
	case !a.interactive:
		return usageErrorf("%s: confirm with --yes; there is no terminal to ask on", action)
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", action)
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}
