// Package faults breaks real parts while whole files travel and lets the oracle
// judge the end. docs/faults.md says which test makes which fault; tests are
// named by its numbers. The long ones run under `make chaos` only.
package faults_test

import (
	"os"
	"testing"

	"stevedore/internal/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// long skips a test that takes minutes unless it was asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("STEVEDORE_TEST_CHAOS") == "" {
		t.Skip("takes minutes: make chaos")
	}
}
