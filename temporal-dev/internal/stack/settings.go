package stack

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// takeSettings keeps the caller's settings for stevedore. It refuses values for the
// variables that the stack chooses, unless they are equal, as after sourcing EnvFile.
func (s *Stack) takeSettings(environ []string) error {
	documented, err := os.ReadFile(filepath.Join(s.Repo, "docs", "configuration.md"))
	if err != nil {
		return err
	}
	var chosen []string
	s.settings = nil
	for _, line := range slices.Sorted(slices.Values(environ)) {
		name, text, _ := strings.Cut(line, "=")
		if !strings.HasPrefix(name, "STEVEDORE_") || strings.HasPrefix(name, switchPrefix) || text == "" {
			continue
		}
		switch own := s.fixed(); {
		case slices.Contains(own, line):
		case slices.ContainsFunc(own, func(l string) bool { return strings.HasPrefix(l, name+"=") }):
			chosen = append(chosen, name)
		case !bytes.Contains(documented, []byte("| `"+name+"` |")):
			s.say("  %s has no effect: it is not in docs/configuration.md", name)
		default:
			s.settings = append(s.settings, line)
		}
	}
	if len(chosen) > 0 {
		return fmt.Errorf("the stack chooses these variables itself, other values in the environment are refused: unset %s", strings.Join(chosen, " "))
	}
	return nil
}

// value returns the value of a variable in lines KEY=value, or "".
func value(lines []string, key string) string {
	for _, line := range lines {
		if text, ok := strings.CutPrefix(line, key+"="); ok {
			return text
		}
	}
	return ""
}

// quoted returns a line KEY=value for a shell.
func quoted(line string) string {
	name, text, _ := strings.Cut(line, "=")
	if strings.ContainsAny(text, " \t\n'\"`$\\;&|<>()#*~") {
		text = "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return name + "=" + text + "\n"
}
