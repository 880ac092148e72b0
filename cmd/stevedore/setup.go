package main

import (
	"context"
	"io"

	"fmt"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/wiring"
)

func (a *app) setupCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "setup",
		Short:   "Prepare the database, keyset, bucket, queue and Temporal; may be repeated",
		Example: "  stevedore setup",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.setUp(cmd.Context(), "setup", config.ComponentSetup)
		},
	}
}

func (a *app) migrateCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database schema up to date; may be repeated",
		Example: "  stevedore migrate",
		Args:    none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.setUp(cmd.Context(), "migrate", config.ComponentMigrate, wiring.StepDatabase)
		},
	}
}

// stepResult is a setup step as JSON.
type stepResult struct {
	Step    string `json:"step"`
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped"`
	Done    string `json:"done"`
	Error   string `json:"error"`
}

// setUp reports each step as it ends: some take a while.
func (a *app) setUp(ctx context.Context, name string, component config.Component, only ...string) error {
	return a.withParts(ctx, name, component, func(ctx context.Context, parts installation) error {
		steps := []stepResult{}
		err := parts.Setup(ctx, func(report wiring.StepReport) {
			step := newStepResult(report)
			steps = append(steps, step)
			switch a.format {
			case formatTable:
				printStep(a.stdout, step)
			case formatJSONL:
				_ = a.encode(step)
			}
		}, only...)
		if a.format == formatJSON {
			_ = a.encode(steps)
		}
		return err
	})
}

func newStepResult(report wiring.StepReport) stepResult {
	step := stepResult{Step: report.Name, OK: report.Err == nil, Skipped: report.Skipped, Done: report.Done}
	if report.Err != nil {
		step.Error = message(report.Err)
	}
	return step
}

func printStep(w io.Writer, step stepResult) {
	mark, text := "ok     ", step.Done
	switch {
	case step.Skipped:
		mark, text = "skipped", step.Error
	case !step.OK:
		mark, text = "FAILED ", step.Error
	}
	fmt.Fprintf(w, "%s  %-17s  %s\n", mark, step.Step, safe(text))
}
