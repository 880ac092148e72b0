package main

import (
	"context"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/wiring"
)

func (a *app) setupCommand() *cobra.Command {
	return a.stepsCommand("setup", "Prepare the database, keyset, bucket, queue and Temporal; safe to repeat", config.ComponentSetup)
}

func (a *app) migrateCommand() *cobra.Command {
	return a.stepsCommand("migrate", "Update the database schema; safe to repeat", config.ComponentMigrate, wiring.StepDatabase)
}

// stepResult is a setup step as JSON.
type stepResult struct {
	Step    string `json:"step"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped"`
	Done    string `json:"done"`
	Error   string `json:"error"`
}

// stepsCommand returns a command that runs the given setup steps, or all of them.
func (a *app) stepsCommand(name, short string, component config.Component, only ...string) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Example: "  stevedore " + name, Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withParts(cmd.Context(), cmd.CommandPath(), component, func(ctx context.Context, parts installation) error {
				steps := []stepResult{}
				err := parts.Setup(ctx, func(report wiring.StepReport) {
					steps = append(steps, a.showStep(report))
				}, only...)
				if a.format == formatJSON {
					_ = a.encode(steps)
				}
				return err
			})
		},
	}
}

// showStep prints a step when it ends, because some steps take long.
func (a *app) showStep(report wiring.StepReport) stepResult {
	step := stepResult{Step: report.Name, OK: report.Err == nil, Skipped: report.Skipped, Done: report.Done}
	mark, text := "ok     ", step.Done
	if report.Err != nil {
		step.Error = message(report.Err)
		mark, text = "FAILED ", step.Error
	}
	if step.Skipped {
		mark = "skipped"
	}
	if a.format != formatJSON {
		_ = a.showText(step, "%s  %-17s  %s", mark, step.Step, safe(text))
	}
	return step
}
