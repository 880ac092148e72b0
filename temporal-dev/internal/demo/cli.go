package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/stack"
)

// exitNotFound is the exit code of stevedore for objects that do not exist.
const exitNotFound = 3

// exitRetryable is the exit code of stevedore for transient failures, such as a scan
// with unfinished files.
const exitRetryable = 5

// cli runs stevedore's command line.
type cli struct{ stack *stack.Stack }

// run runs a command and returns its output and exit code.
func (c cli) run(ctx context.Context, args ...string) (out []byte, code int, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(c.stack.Repo, "bin", "stevedore"), args...)
	cmd.Env = append(c.stack.Environ(), c.stack.Env()...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
		err = fmt.Errorf("stevedore %s: exit %d: %s", strings.Join(args, " "), code, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), code, err
}

// register adds the server unless it is registered.
func (c cli) register(ctx context.Context, v server) error {
	if _, code, err := c.run(ctx, "server", "show", v.name, "-o", "json"); err == nil || code != exitNotFound {
		return err
	}
	key, err := v.hostKey()
	if err != nil {
		return err
	}
	_, _, err = c.run(ctx, "server", "add", "--name", v.name, "--host", ports.Loopback, "--port", strconv.Itoa(v.port),
		"--username", v.user, "--private-key-file", filepath.Join(v.dir, "client_key"),
		"--host-key", key, "--path", v.root, "--settle", "3s")
	return err
}

// row is a file in the output of `file list -o json`.
type row struct {
	FileUUID     string `json:"file_uuid"`
	Server       string `json:"server"`
	RemotePath   string `json:"remote_path"`
	SizeBytes    int64  `json:"size_bytes"`
	Status       string `json:"status"`
	FileHash     string `json:"file_hash"`
	Bucket       string `json:"bucket"`
	ObjectKey    string `json:"object_key"`
	ErrorMessage string `json:"error_message"`
}

// files returns every row of the ledger.
func (c cli) files(ctx context.Context) ([]row, error) {
	out, _, err := c.run(ctx, "file", "list", "-o", "json")
	if err != nil {
		return nil, err
	}
	var rows []row
	if err := json.Unmarshal(out, &rows); err != nil {
		return nil, fmt.Errorf("read the output of stevedore file list: %w", err)
	}
	return rows, nil
}

// isTerminal reports whether progress can be redrawn in place.
func isTerminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (r row) String() string {
	text := fmt.Sprintf("%s, %d bytes", r.Status, r.SizeBytes)
	if r.FileHash != "" {
		text += " of " + r.FileHash
	}
	if r.ErrorMessage != "" {
		text += ", " + r.ErrorMessage
	}
	return text
}
