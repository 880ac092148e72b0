package main

import (
	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/telemetry"
)

func (a *app) workerCommand() *cobra.Command {
	return a.daemonCommand("worker", "Run a worker: it moves the files", config.ComponentWorker, a.runWorker)
}

func (a *app) apiCommand() *cobra.Command {
	return a.daemonCommand("api", "Run the REST API", config.ComponentAPI, a.runAPI)
}

// daemonCommand runs until the process is told to stop. Its log goes to
// stderr, and so do warnings about variables that nothing reads.
func (a *app) daemonCommand(name, short string, component config.Component, run daemon) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: none, Example: "  stevedore " + name,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.configuration()
			if err != nil {
				return err
			}
			if err := validate(cfg, name, component); err != nil {
				return err
			}
			log := telemetry.NewLogger(cfg.Log, a.stderr)
			for _, warning := range cfg.Warnings() {
				log.Warn(warning)
			}
			if limit := telemetry.LimitMemory(); limit > 0 {
				log.Info("memory is limited", "limit_bytes", limit)
			}
			return run(cmd.Context(), cfg, log)
		},
	}
}
