package config

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
)

// readFile reads KEY=value lines. It skips empty lines and lines that begin with
// "#", allows "export " before a key, and removes one pair of quotes around a value.
//
// Values are literal. Common dotenv readers expand "$", which silently corrupts
// passwords, and quote the file in their errors, which prints secrets.
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

// unquote removes one pair of equal quotes.
func unquote(value string) string {
	if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
		return value[1 : n-1]
	}
	return value
}
