// Package faults breaks real services during ingests, in a sandbox, and checks that no file is
// lost or stored twice. docs/faults.md lists the faults by the numbers in the tests' names. Long
// tests run under `make chaos` only.
package faults_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
)

// TestMain rejects an invalid seed before the first test: some tests do not read it and
// would pass.
func TestMain(m *testing.M) {
	if _, err := seedsOf(os.Getenv("STEVEDORE_TEST_SEED")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	sandbox.Main(m)
}

// chaosEnabled reports whether tests may take minutes: make chaos.
var chaosEnabled = os.Getenv("STEVEDORE_TEST_CHAOS") != ""

// chaosOnly skips a test that takes minutes, except under make chaos.
func chaosOnly(t *testing.T) {
	t.Helper()
	if !chaosEnabled {
		t.Skip("takes minutes: make chaos")
	}
}

func TestASeedIsANumber(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"abc", "-1", "1.5", "0x10", " 7", "18446744073709551616"} {
		_, err := seedsOf(text)
		require.ErrorContains(t, err, "STEVEDORE_TEST_SEED", text)
	}
	all, err := seedsOf("18446744073709551615")
	require.NoError(t, err)
	require.Len(t, all, 1)
}
