package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

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
	err = printAll(a, all(cfg.Effective(), nil), "", func(v config.Variable) []cell {
		return []cell{{"VARIABLE", v.Name}, {"VALUE", dash(v.Value)}, {"SOURCE", v.Source}}
	})
	if err != nil {
		return err
	}
	for _, warning := range cfg.Warnings() {
		a.note("%s", warning)
	}
	return nil
}

// version is set by the linker on release builds.
var version = ""

// buildVersion describes the build.
type buildVersion struct {
	Version  string `json:"version"`
	Commit   string `json:"commit"`
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// String returns the version for users, on one line.
func (v buildVersion) String() string {
	commit := ""
	if v.Commit != "" { // a build without version control has none
		commit = ", commit " + v.Commit
	}
	return fmt.Sprintf("stevedore %s (%s, %s%s)", v.Version, v.Go, v.Platform, commit)
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: none, Example: "  stevedore version -o json",
		RunE: func(*cobra.Command, []string) error {
			v := readVersion()
			return a.showText(v, "%s", v)
		},
	}
}

func readVersion() buildVersion {
	v := buildVersion{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Commit = setting.Value
		case "vcs.modified":
			v.Modified = setting.Value == "true"
		}
	}
	return v
}
