package config

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
)

// mask replaces secrets in output.
const mask = "***"

// Secret is a string that formatters, encoders and loggers mask. The empty string
// prints as empty, which distinguishes a missing secret from a hidden one.
type Secret string

// Reveal returns the secret in clear.
func (s Secret) Reveal() string { return string(s) }

// String returns a mask.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// Format prints a mask for every verb. Without it, verbs that do not apply to
// strings, such as %d, would print the secret in clear.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue returns a mask for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText returns a mask for JSON and other encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is an address that may contain a password. It prints with the password masked;
// a URL that cannot be parsed reliably prints as a mask only.
type URL string

// Reveal returns the URL with its password in clear.
func (u URL) Reveal() string { return string(u) }

// String returns the URL with its secrets masked.
func (u URL) String() string {
	if u == "" {
		return ""
	}
	parsed, err := url.Parse(string(u))
	// A password with an unescaped "/", "?" or "#" is parsed as port, path, query or
	// fragment. A remaining "@" reveals that.
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

// maskQuery masks the values of parameters that may hold passwords.
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

// Format prints the masked URL for every verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// LogValue returns the masked URL for slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText returns the masked URL for JSON and other encoders.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }
