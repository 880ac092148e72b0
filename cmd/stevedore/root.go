package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
)

const rootLong = `stevedore unloads files from partners' SFTP servers into object storage, as
durable workflows on Temporal: nothing lost, nothing twice, always explainable.

Commands call the API at STEVEDORE_API_URL with the token in STEVEDORE_TOKEN.
worker, api, setup, migrate, key and break-glass use the service's configuration.

Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 5 retryable, 6 not retryable,
9 differences found.`

// rootCommand builds the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "stevedore",
		Short:         "Durable SFTP to object storage ingestion",
		Long:          rootLong,
		Args:          noSuchCommand,
		RunE:          showHelp,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.started = true },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.format = formatTable
	root.PersistentFlags().VarP(&a.format, "output", "o", "table, json or jsonl")
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "`FILE` with KEY=value lines; the environment wins over it")
	a.addConfigFlags(root)
	complete(root, "output", "table", "json", "jsonl")
	root.AddCommand(
		a.setupCommand(), a.migrateCommand(), a.workerCommand(), a.apiCommand(), a.serverCommand(),
		a.scanCommand(), a.fileCommand(), a.auditCommand(), a.tokenCommand(), a.keyCommand(), a.breakGlassCommand(),
		a.configCommand(), a.versionCommand(),
	)
	return root
}

// addConfigFlags makes a flag of every variable that is no secret. They work
// everywhere, and the help of `stevedore config` shows them.
func (a *app) addConfigFlags(root *cobra.Command) {
	a.configFlags = map[string]*string{}
	for _, setting := range config.Settings() {
		if setting.Flag == "" {
			continue
		}
		a.configFlags[setting.Flag] = root.PersistentFlags().String(setting.Flag, "", setting.Description+" ["+setting.Name+"]")
		root.PersistentFlags().Lookup(setting.Flag).Hidden = setting.Flag != "api-url"
	}
}

// group returns a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: showHelp}
	cmd.AddCommand(commands...)
	return cmd
}

// noSuchCommand refuses what cobra would take for arguments.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q, did you mean %q?", args[0], near[0])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// exactly asks for one argument of the given name.
func exactly(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("give one %s, not %d", name, len(args))
		}
		return nil
	}
}

// none refuses arguments.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("takes no argument %q", args[0])
	}
	return nil
}
