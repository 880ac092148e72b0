package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/config"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestTakenPortIsOneClearLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, err = listen(t.Context(), taken.Addr().String())
	require.ErrorContains(t, err, "is in use by another program")
	require.ErrorContains(t, err, "STEVEDORE_API_ADDR")
}

func TestRunRefusesToStartWithoutToken(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Options{Environ: []string{
		"STEVEDORE_DATABASE_URL=postgres://127.0.0.1:1/x", "STEVEDORE_KEYSET_FILE=/nonexistent", "STEVEDORE_API_ADDR=127.0.0.1:0",
	}})
	require.NoError(t, err)
	require.ErrorContains(t, Run(t.Context(), cfg, quiet(), "test"), "STEVEDORE_TOKEN is not set")
}

func TestServeLetsRunningRequestsFinish(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	entered, release := make(chan struct{}), make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(entered)
			<-release
			_, _ = io.WriteString(w, "whole")
		}), quiet())
	}()
	answered := make(chan string, 1)
	go func() {
		answer, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answered <- err.Error()
			return
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		answered <- string(body)
	}()
	<-entered
	stop()
	close(release)
	require.Equal(t, "whole", receive(t, answered))
	require.NoError(t, receive(t, served))
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(time.Minute):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}
