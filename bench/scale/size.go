package scale

import (
	"os"
	"testing"
)

// fullVariable is set by `make scale`.
const fullVariable = "STEVEDORE_TEST_SCALE"

// Full reports whether the tests run at full size.
func Full() bool { return os.Getenv(fullVariable) != "" }

// Size returns full under `make scale` and small otherwise.
func Size[T any](small, full T) T {
	if Full() {
		return full
	}
	return small
}

// Figure prints a measured value. These lines are the result of `make scale`.
func Figure(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("figure: "+format, args...)
}
