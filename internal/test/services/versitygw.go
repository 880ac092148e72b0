package services

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// versityTimeout bounds the start of versitygw, on a machine that runs all tests.
const versityTimeout = 2 * time.Minute

// VersityGW starts versitygw, an S3 server independent of MinIO, and creates a bucket.
// Both are removed when the test ends. It skips the test under -short.
func VersityGW(t testing.TB) S3 {
	t.Helper()
	if testing.Short() {
		t.Skip("needs versitygw: not under -short")
	}
	s := S3{
		Endpoint: net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t))), AccessKey: "test", SecretKey: rand.Text(),
		Region: "us-east-1", Bucket: "test-" + strings.ToLower(rand.Text()),
	}
	data := t.TempDir()
	server := exec.Command(program(t, "versitygw"), "--quiet", "--port", s.Endpoint, "posix", data)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	log := &lastLines{}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatalf("start versitygw: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	if err := awaitListener(s.Endpoint, versityTimeout); err != nil {
		t.Fatalf("versitygw does not listen: %v\n%s", err, log)
	}
	return s.create(t)
}

// awaitListener waits until the address accepts connections.
func awaitListener(address string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// program returns the path of a program that the Makefile builds in bin/.
func program(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		path := filepath.Join(dir, "bin", name)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%s is missing: run `make %s`", path, path)
		}
		return path
	}
	t.Fatal("no go.mod above the test")
	return ""
}
