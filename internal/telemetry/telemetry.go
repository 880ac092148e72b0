// Package telemetry provides the logger and the Prometheus metrics of a process.
package telemetry

import (
	"io"
	"log/slog"

	"stevedore/internal/config"
)

// NewLogger returns a logger that writes messages of cfg.Level and above to w, as JSON
// lines for format "json" and as key=value text otherwise.
func NewLogger(cfg config.Log, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
