package config

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Problem describes one missing or invalid variable.
type Problem struct {
	Variable string
	// Message describes the error and a valid value, without secrets.
	Message string
}

// Error lists all problems that prevent a component from starting.
type Error struct {
	Component Component
	Problems  []Problem
}

// Error returns all problems, one per line.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "configuration of %s: missing or invalid variables:", e.Component)
	for _, p := range e.Problems {
		fmt.Fprintf(&b, "\n  %s %s", p.Variable, p.Message)
	}
	return b.String()
}

// problems collects at most one problem per variable.
type problems []Problem

// add adds a problem, unless the variable already has one.
func (p *problems) add(variable, format string, args ...any) {
	if !slices.ContainsFunc(*p, func(other Problem) bool { return other.Variable == variable }) {
		*p = append(*p, Problem{Variable: variable, Message: fmt.Sprintf(format, args...)})
	}
}

// minToken is the minimum length of the bootstrap token, which is an admin's. 32 hex
// digits hold 128 bits.
const minToken = 32

// Validate returns nil when the component can start, else an *Error with every missing
// or invalid variable. Malformed values are reported by every component, even by those
// that do not use the variable, so that typos are found early.
func (c Config) Validate(component Component) error {
	values := c.found().values
	found := problems(slices.Clone(c.found().malformed))
	for _, f := range fields() {
		if f.requires(component) && values[f.name].text == "" {
			found.add(f.name, "is not set: %s", f.description)
		}
	}
	accepts := component == ComponentAPI || component == ComponentWorker && c.Worker.MetricsAddr != ""
	if length := len(c.API.Token); accepts && length > 0 && length < minToken {
		found.add("STEVEDORE_TOKEN", "has fewer than %d characters: generate one with `openssl rand -hex 32`", minToken)
	}
	c.checkAddresses(&found)
	c.checkNumbers(&found)
	if len(found) == 0 {
		return nil
	}
	return &Error{Component: component, Problems: found}
}

// checkAddresses checks URLs and host:port addresses.
func (c Config) checkAddresses(found *problems) {
	checkURL(found, "STEVEDORE_DATABASE_URL", c.Database.URL, "postgres", "postgresql")
	checkURL(found, "STEVEDORE_AMQP_URL", c.AMQP.URL, "amqp", "amqps")
	checkURL(found, "STEVEDORE_API_URL", c.Client.URL, "http", "https")
	if strings.Contains(c.S3.Endpoint, "/") {
		found.add("STEVEDORE_S3_ENDPOINT", "is %q: use host:port without a scheme; STEVEDORE_S3_USE_TLS selects https", c.S3.Endpoint)
	}
	if _, port, err := net.SplitHostPort(c.API.Addr); err != nil || port == "" {
		found.add("STEVEDORE_API_ADDR", "is %q: use host:port, e.g. 127.0.0.1:9000", c.API.Addr)
	}
	if _, port, err := net.SplitHostPort(c.Worker.MetricsAddr); c.Worker.MetricsAddr != "" && (err != nil || port == "") {
		found.add("STEVEDORE_WORKER_METRICS_ADDR", "is %q: use host:port, e.g. 127.0.0.1:9100", c.Worker.MetricsAddr)
	}
}

// checkURL checks that the URL has an allowed scheme and a host. A value that cannot
// be parsed is not shown, because its password may be the cause.
func checkURL(found *problems, variable string, u URL, schemes ...string) {
	if u == "" {
		return
	}
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		found.add(variable, "is not a URL: use %s://..., with special characters of the password percent-encoded", schemes[0])
		return
	}
	if !slices.Contains(schemes, parsed.Scheme) || parsed.Host == "" {
		found.add(variable, "is %q: use %s://host...", u.String(), strings.Join(schemes, ":// or "))
	}
}

// checkNumbers checks sizes, counts and durations, and the log format.
func (c Config) checkNumbers(found *problems) {
	if c.Staging.ReserveBytes < 0 {
		found.add("STEVEDORE_STAGING_RESERVE_BYTES", "is %d: use 0 or more bytes", c.Staging.ReserveBytes)
	}
	for variable, n := range map[string]int{
		"STEVEDORE_WORKER_MAX_DOWNLOADS": c.Worker.MaxDownloads,
		"STEVEDORE_WORKER_MAX_UPLOADS":   c.Worker.MaxUploads,
	} {
		if n < 1 || n > 1000 {
			found.add(variable, "is %d: use 1 to 1000", n)
		}
	}
	if c.Scan.Interval < time.Second {
		found.add("STEVEDORE_SCAN_INTERVAL", "is %s: use 1s or more", c.Scan.Interval)
	}
	if c.Scan.Settle < 0 {
		found.add("STEVEDORE_SETTLE", "is %s: use 0s or more", c.Scan.Settle)
	}
	if c.Transfer.ChecksumWait < 0 {
		found.add("STEVEDORE_TRANSFER_CHECKSUM_WAIT", "is %s: use 0s or more", c.Transfer.ChecksumWait)
	}
	if c.Worker.StopTimeout < 0 {
		found.add("STEVEDORE_WORKER_STOP_TIMEOUT", "is %s: use 0s or more", c.Worker.StopTimeout)
	}
	if c.Worker.HostTimeout <= 0 {
		found.add("STEVEDORE_WORKER_HOST_TIMEOUT", "is %s: use more than 0s", c.Worker.HostTimeout)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		found.add("STEVEDORE_LOG_FORMAT", "is %q: use text or json", c.Log.Format)
	}
}
