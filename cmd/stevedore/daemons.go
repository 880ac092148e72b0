package main

import (
	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/telemetry"
)

func (a *app) workerCommand() *cobra.Command {
	return a.daemonCommand("worker", "Run a worker, which transfers the files", config.ComponentWorker, a.runWorker)
}

func (a *app) apiCommand() *cobra.Command {
	return a.daemonCommand("api", "Run the REST API", config.ComponentAPI, a.runAPI)
}

// daemonCommand returns a command that runs until the process receives a signal. Its log
// and warnings about unknown variables go to stderr.
func (a *app) daemonCommand(name, short string, component config.Component, run daemon) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: none, Example: "  stevedore " + name,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.configurationFor(cmd.CommandPath(), component)
			if err != nil {
				return err
			}
			log := telemetry.NewLogger(cfg.Log, a.stderr)
			for _, warning := range cfg.Warnings() {
				log.Warn(warning)
			}
			if limit := telemetry.LimitMemory(); limit > 0 {
				log.Info("memory limit set", "limit_bytes", limit)
			}
			return run(cmd.Context(), cfg, log)
		},
	}
}
