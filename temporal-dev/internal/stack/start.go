package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// startTimeout bounds the start of a part. RabbitMQ needs half a minute on a cold, busy
// machine.
const startTimeout = 3 * time.Minute

// startTries is the number of attempts to start a part that ends before it is ready:
// Temporal chooses ports for its internal services that another part may take first.
const startTries = 3

// freeTimeout is the maximum time a port stays in use after the end of its process.
const freeTimeout = 10 * time.Second

// startAll starts the parts concurrently and reports whether any was not running. The
// first failure ends the wait for the others: a worker is not ready without the API.
func (s *Stack) startAll(ctx context.Context, parts []part) (started bool, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	var some atomic.Bool
	for _, p := range parts {
		wg.Go(func() {
			started, err := s.start(ctx, p)
			if started {
				some.Store(true)
			}
			if err != nil {
				fail(err)
			}
		})
	}
	wg.Wait()
	return some.Load(), context.Cause(ctx)
}

// start starts one part unless it runs, and waits until it is ready.
func (s *Stack) start(ctx context.Context, p part) (started bool, err error) {
	began := time.Now()
	if s.Pid(p.name) == 0 {
		if err := s.launch(ctx, p); err != nil {
			return false, err
		}
		started = true
	}
	err = s.await(ctx, p)
	for try := 1; (errors.Is(err, errEnded) || errors.Is(err, errForeignPort)) && try < startTries; try++ {
		// A killed process may still have been running at the first look. Or another
		// program took one of its ports in the meantime.
		if err := s.launch(ctx, p); err != nil {
			return started, err
		}
		started = true
		err = s.await(ctx, p)
	}
	if err != nil {
		return started, err
	}
	if p.after != nil {
		if err := p.after(ctx); err != nil {
			return started, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if started {
		s.say("  %-10s up in %.1f s (pid %d)", p.name, time.Since(began).Seconds(), s.Pid(p.name))
	}
	return started, nil
}

var (
	// errEnded is returned when the process ends before it is ready.
	errEnded = errors.New("the process ended")
	// errForeignPort is returned when another program listens on a port of the part.
	errForeignPort = errors.New("another program listens on its port")
)

func (s *Stack) launch(ctx context.Context, p part) error {
	if err := s.Stop(p.name); err != nil { // children of a killed process hold its ports
		return err
	}
	for _, port := range p.ports {
		holder := s.ForeignListener(port)
		if holder == "" && !ports.WaitFree(ctx, port, freeTimeout) {
			holder = "another program"
		}
		if holder != "" {
			return fmt.Errorf("%s: %s listens on port %d; stop it, or run `make down` and `make up`, which choose another port", p.name, holder, port)
		}
	}
	spec, err := p.prepare(ctx)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", p.name, err)
	}
	spec.Name = p.name
	return s.Start(spec)
}

// await waits until the part is ready. Success counts only while its process runs and
// owns its ports, because another program may have answered.
func (s *Stack) await(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.ready(ctx)
		if s.Pid(p.name) == 0 {
			return s.failed(p.name, errEnded)
		}
		if err == nil {
			err = s.checkPorts(p)
		}
		if err == nil || errors.Is(err, errForeignPort) {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return fmt.Errorf("%s: interrupted while it starts", p.name)
			}
			return s.failed(p.name, fmt.Errorf("not ready after %s: %w", startTimeout, err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// checkPorts returns nil if the part's process listens on all of its ports.
func (s *Stack) checkPorts(p part) error {
	for _, port := range p.ports {
		switch s.PortOwner(p.name, port) {
		case proc.OwnerNone:
			return fmt.Errorf("it does not listen on port %d", port)
		case proc.OwnerOther:
			return s.failed(p.name, fmt.Errorf("%w %d", errForeignPort, port))
		case proc.OwnerSelf, proc.OwnerUnknown:
		}
	}
	return nil
}

// failed returns an error with the reason and the end of the log.
func (s *Stack) failed(name string, reason error) error {
	return fmt.Errorf("%s does not start: %w; the end of %s:\n%s", name, reason, s.Log(name), s.Tail(name, 15))
}

// listening is a ready check: the port accepts connections.
func listening(port int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", ports.Addr(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answering is a ready check: the URL returns 200, with want in the body.
func answering(url, want string) func(ctx context.Context) error {
	client := &http.Client{Timeout: 2 * time.Second}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			return fmt.Errorf("%s returns %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}
