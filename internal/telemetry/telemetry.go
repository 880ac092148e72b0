// Package telemetry makes what a process tells of itself with: the logger that
// it hands to its parts, and its metrics for Prometheus.
package telemetry

import (
	"io"
	"log/slog"

	"stevedore/internal/config"
)

// NewLogger returns a logger that writes messages of cfg.Level and above to w,
// as JSON lines with format "json" and as key=value text otherwise. The
// Temporal SDK takes it through its own log.NewStructuredLogger.
func NewLogger(cfg config.Log, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
