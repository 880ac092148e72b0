package config

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// readFile reads KEY=value lines. Empty lines and lines that begin with "#" are
// skipped, "export " in front of a key is allowed, and one pair of quotes
// around a value is taken off.
//
// Values are literal. The usual dotenv readers expand "$" in them, which turns
// a good password into a wrong one without a word, and quote the file in their
// errors, which prints it.
func readFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration file: %w", err)
	}
	values := map[string]string{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		key = strings.TrimSpace(key)
		if !found || key == "" || strings.ContainsAny(key, " \t") {
			return nil, fmt.Errorf("configuration file %s: line %d is not KEY=value", path, n)
		}
		values[key] = unquote(strings.TrimSpace(value))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the configuration file %s: %w", path, err)
	}
	return values, nil
}

// unquote takes one pair of equal quotes off.
func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
		return value[1 : n-1]
	}
	return value
}
