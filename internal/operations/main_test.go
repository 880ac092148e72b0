package operations

import (
	"os"
	"path/filepath"
	"testing"

	"stevedore/internal/credentials"
)

// testKeys is the keyset of tests that do not change it.
var testKeys *credentials.Sealer

func TestMain(m *testing.M) { os.Exit(runWithKeys(m)) }

// runWithKeys creates testKeys and runs the tests.
func runWithKeys(m *testing.M) int {
	dir, err := os.MkdirTemp("", "keyset-*")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "keyset.json")
	if err := credentials.Generate(path); err != nil {
		panic(err)
	}
	if testKeys, err = credentials.Open(path); err != nil {
		panic(err)
	}
	return m.Run()
}
