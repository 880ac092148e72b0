package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
)

const rootLong = `stevedore moves files from partners' SFTP servers into object storage, as
durable workflows on Temporal: each version of a file is stored and notified exactly once.

Commands call the API at STEVEDORE_API_URL with the token in STEVEDORE_TOKEN.
worker, api, setup, migrate, key and break-glass use the configuration of the
service instead.

Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 5 retryable, 6 action required,
9 discrepancies found.`

// rootCommand returns the tree of commands.
func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "stevedore",
		Short:         "Durable SFTP to object storage ingestion",
		Long:          rootLong,
		Version:       readVersion().String(),
		Args:          noSuchCommand,
		RunE:          showHelp,
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.parsed = true },
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	a.format = formatTable
	addChoice(root, root.PersistentFlags(), "output", "o", "`FORMAT`: table, json or jsonl", &choice[format]{
		values: []format{formatTable, formatJSON, formatJSONL}, fallback: formatTable, set: func(f format) { a.format = f },
	})
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "`FILE` with KEY=value lines; variables of the environment override it")
	a.addConfigFlags(root)
	root.AddCommand(
		a.setupCommand(), a.migrateCommand(), a.workerCommand(), a.apiCommand(), a.serverCommand(),
		a.scanCommand(), a.fileCommand(), a.auditCommand(), a.auditLogCommand(), a.tokenCommand(), a.keyCommand(), a.breakGlassCommand(),
		a.configCommand(), a.versionCommand(),
	)
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "completion":
			cmd.Args, cmd.RunE = noSuchCommand, showHelp
		case "help":
			cmd.Args = a.helpTopic
		}
	}
	width := cmp.Or(min(a.width(), maxHelp), helpWidth)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages", fmt.Sprintf(".FlagUsagesWrapped %d", width)))
	reflow(root, width)
	return root
}

// helpWidth is the width of help texts in a pipe, maxHelp that on a wide terminal.
const helpWidth, maxHelp = 80, 100

// reflow breaks the paragraphs of help texts into lines of the width. It keeps those with
// indented lines.
func reflow(cmd *cobra.Command, width int) {
	paragraphs := strings.Split(cmd.Long, "\n\n")
	for i, paragraph := range paragraphs {
		if text := "\n" + paragraph; !strings.Contains(text, "\n ") && !strings.Contains(text, "\n\t") {
			paragraphs[i] = strings.Join(breakLines(strings.ReplaceAll(paragraph, "\n", " "), width), "\n")
		}
	}
	cmd.Long = strings.Join(paragraphs, "\n\n")
	for _, inner := range cmd.Commands() {
		reflow(inner, width)
	}
}

// helpTopic rejects arguments of help that are no command.
func (a *app) helpTopic(cmd *cobra.Command, args []string) error {
	found, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return noSuchCommand(found, args)
	}
	return nil
}

// addConfigFlags adds a flag for each variable that is not secret. They work on all
// commands; the help of `stevedore config` shows them.
func (a *app) addConfigFlags(root *cobra.Command) {
	a.configFlags = map[string]*string{}
	for _, variable := range config.Variables() {
		if variable.Flag == "" {
			continue
		}
		a.configFlags[variable.Flag] = root.PersistentFlags().String(variable.Flag, "", variable.Description+" ["+variable.Name+"]")
		root.PersistentFlags().Lookup(variable.Flag).Hidden = variable.Flag != "api-url"
	}
}

// group returns a command with subcommands only.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: noSuchCommand, RunE: showHelp}
	cmd.AddCommand(commands...)
	return cmd
}

// noSuchCommand rejects arguments: they are misspelled commands.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, known := range cmd.Commands() {
		names = append(names, known.Name())
	}
	return fmt.Errorf("unknown command %q%s", args[0], didYouMean(args[0], names))
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// arguments requires between least and most arguments of the given name.
func arguments(least, most int, name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < least || len(args) > most:
			return fmt.Errorf("expected one %s, got %d", name, len(args))
		case slices.Contains(args, ""):
			return fmt.Errorf("the %s is empty", name)
		}
		return nil
	}
}

// none rejects arguments.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	return nil
}
