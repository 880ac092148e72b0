package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"stevedore/internal/test/servicedouble"

	"github.com/stretchr/testify/require"

	"stevedore/api"
	"stevedore/internal/access"
	"stevedore/internal/config"
	"stevedore/internal/operations"
	"stevedore/internal/wiring"
)

const testUUID = servicedouble.UUID

// service combines the interfaces that the API needs.
type service interface {
	operations.Operations
	access.Access
}

// double replaces the service and the parts that setup and key rotation change.
type double struct {
	*servicedouble.Service
	steps   []wiring.StepReport
	only    []string
	rotated operations.RotateRequest
}

func (d *double) Setup(_ context.Context, report func(wiring.StepReport), only ...string) error {
	d.only = only
	for _, step := range d.steps {
		report(step)
	}
	return d.Err
}

func (d *double) RotateKey(_ context.Context, request operations.RotateRequest) (operations.RotateResult, error) {
	d.rotated = request
	return operations.RotateResult{NewKey: true, Servers: 3, Resealed: 3}, d.Err
}

func (d *double) Close() {}

// doubled returns a double with values.
func doubled(values servicedouble.Service) *double { return &double{Service: &values} }

// call is the outcome of one call of the program.
type call struct {
	code        int
	out, errors string
}

// with changes the app before it runs.
type with func(*app)

func terminal(a *app) { a.stderrSize = func() (int, int) { return 120, 40 } }

// onScreen runs the program on a terminal of the width.
func onScreen(width int) with {
	return func(a *app) { a.stdoutSize = func() (int, int) { return width, 40 } }
}

func args(line ...string) []string { return line }

func person(answer string) with {
	return func(a *app) { a.interactive, a.stdin = true, strings.NewReader(answer) }
}

func stdin(text string) with { return func(a *app) { a.stdin = strings.NewReader(text) } }

func environ(lines ...string) with { return func(a *app) { a.environ = append(a.environ, lines...) } }

// backend serves the API and replaces the service's parts.
type backend interface {
	service
	installation
}

func execute(t *testing.T, ops backend, line []string, options ...with) call {
	t.Helper()
	return executeIn(t, t.Context(), ops, line, options...)
}

func executeIn(t *testing.T, ctx context.Context, ops backend, line []string, options ...with) call {
	t.Helper()
	const token = "canary-token"
	handler := sync.OnceValue(func() http.Handler { // takes most of the time of a call without requests
		return api.NewHandler(api.Deps{Operations: ops, Access: ops, StartTimeout: time.Minute, Token: token, Log: slog.New(slog.DiscardHandler), RequestsPerSecond: 1e6})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler().ServeHTTP(w, r) }))
	defer server.Close()
	var out, errs bytes.Buffer
	a := &app{
		stdin: strings.NewReader(""), stdout: &out, stderr: &errs, poll: time.Millisecond, patience: time.Minute, now: time.Now,
		environ: []string{"STEVEDORE_API_URL=" + server.URL, "STEVEDORE_TOKEN=" + token, "STEVEDORE_DATABASE_URL=postgres://u:canary-password@127.0.0.1:1/x"},
		open:    func(config.Config, *slog.Logger) (installation, error) { return ops, nil },
	}
	for _, option := range options {
		option(a)
	}
	code := a.run(ctx, line)
	require.NotContains(t, out.String()+errs.String(), "canary")
	return call{code, out.String(), errs.String()}
}
