package scale

import (
	"os"
	"testing"
)

// fullVariable is set by `make scale`.
const fullVariable = "STEVEDORE_TEST_SCALE"

// Full reports whether the promised sizes are asked for.
func Full() bool { return os.Getenv(fullVariable) != "" }

// Size is full under `make scale` and small otherwise.
func Size[T any](small, full T) T {
	if Full() {
		return full
	}
	return small
}

// Figure reports what was measured: with `make scale` these lines are its result.
func Figure(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("figure: "+format, args...)
}
