package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// mask stands for a secret wherever one would be printed.
const mask = "***"

// Secret is a string that no formatter, encoder or logger prints. An empty one
// prints as empty, so that a missing secret can be told from a hidden one.
type Secret string

// Reveal returns the secret itself, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format prints a mask whatever the verb: those that do not fit a string, such
// as %d, would print it in clear otherwise.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns a mask for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns a mask for JSON and every other encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is an address that may hold a password. It prints with the password
// masked, and as a mask alone where it is not clear what is the password.
type URL string

// Reveal returns the URL with its password, for the driver that dials it.
func (u URL) Reveal() string { return string(u) }

// String returns the URL with its secrets masked.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	parsed, err := url.Parse(string(u))
	// A password with an unescaped "/", "?" or "#" in it ends up in the port, the
	// path, the query or the fragment; an "@" that is left over gives it away.
	if err != nil || parsed.Host == "" || parsed.Fragment != "" || parsed.User == nil && strings.Contains(string(u), "@") {
		return mask
	}
	query := parsed.RawQuery
	parsed.RawQuery = ""
	text := strings.Replace(parsed.Redacted(), ":xxxxx@", ":"+mask+"@", 1)
	if query != "" {
		text += "?" + maskQuery(query)
	}
	return text
}

// maskQuery masks the values of parameters that drivers take passwords from.
func maskQuery(query string) string {
	params := strings.Split(query, "&")
	for i, param := range params {
		name, _, _ := strings.Cut(param, "=")
		for _, word := range []string{"pass", "secret", "token", "key"} {
			if strings.Contains(strings.ToLower(name), word) {
				params[i] = name + "=" + mask
			}
		}
	}
	return strings.Join(params, "&")
}

// Format masks whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// LogValue masks for slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText masks for JSON and every other encoder.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
