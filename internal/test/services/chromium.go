package services

import (
	"os"
	"os/exec"
	"testing"
)

// chromiums are the names of the browser's executable on different systems. The last
// one may be a stub that asks for a snap.
var chromiums = []string{"chromium", "google-chrome", "chromium-browser"}

// Chromium returns the browser's path. It skips the test under -short.
func Chromium(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	for _, name := range chromiums {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	for _, path := range []string{"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome", "/Applications/Chromium.app/Contents/MacOS/Chromium"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium: `make test` installs it")
	return ""
}
