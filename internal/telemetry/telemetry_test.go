package telemetry

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
)

func TestNewLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	NewLogger(config.Log{Level: slog.LevelWarn, Format: "json"}, &out).Warn("low on space", "free", 7)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	require.Equal(t, "low on space", line["msg"])
	require.InDelta(t, 7, line["free"], 0)

	out.Reset()
	NewLogger(config.Log{Level: slog.LevelWarn, Format: "json"}, &out).Info("routine")
	require.Empty(t, out.String(), "below the level")

	NewLogger(config.Log{Format: "text"}, &out).Info("hello", "password", config.Secret("canary"))
	require.Contains(t, out.String(), `msg=hello password=***`)
}
