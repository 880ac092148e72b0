package main

import (
	"io"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stevedore/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration with secrets masked",
		Long: `Prints each variable with its effective value and its source: a flag, the
environment, the file or the default. Secrets are masked.

The flags below work on all commands.`,
		Example: "  stevedore config -o jsonl",
		Args:    noSuchCommand,
		RunE:    func(*cobra.Command, []string) error { return a.showConfig() },
	}
	standard := cmd.HelpFunc()
	cmd.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		cmd.Root().PersistentFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = false })
		standard(cmd, args)
	})
	docs := &cobra.Command{
		Use: "docs", Short: "Print all variables as Markdown tables", Args: none, Example: "  stevedore config docs",
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, config.Markdown())
			return err
		},
	}
	cmd.AddCommand(docs)
	return cmd
}

func (a *app) showConfig() error {
	cfg, err := a.configuration()
	if err != nil {
		return err
	}
	err = printAll(a.newList("VARIABLE", "VALUE", "SOURCE"), all(cfg.Effective(), nil), "",
		func(s config.Setting) []string { return []string{s.Name, dash(s.Value), s.Source} })
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings() {
		a.note("%s", warning)
	}
	return nil
}
