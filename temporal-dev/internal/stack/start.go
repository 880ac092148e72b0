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
	"time"

	"stevedore/temporal-dev/internal/ports"
)

// startTimeout is how long a part may take to be ready. RabbitMQ needs half a
// minute on a cold, busy machine.
const startTimeout = 3 * time.Minute

// startTries is how often a part is started that ends before it answers: Temporal
// chooses ports for its inner services that another part may take first.
const startTries = 3

// freeTimeout is how long the port of a process that has ended may stay taken.
const freeTimeout = 10 * time.Second

// startAll starts the parts side by side; the slowest decides how long it takes.
func (s *Stack) startAll(ctx context.Context, parts []part) (started bool, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, p := range parts {
		wg.Go(func() {
			was, err := s.start(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			started = started || was
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return started, errors.Join(errs...)
}

// start starts one part unless it runs, and waits until it answers.
func (s *Stack) start(ctx context.Context, p part) (started bool, err error) {
	began := time.Now()
	if s.Pid(p.name) == 0 {
		if err := s.launch(ctx, p); err != nil {
			return false, err
		}
		started = true
	}
	err = s.await(ctx, p)
	for try := 1; errors.Is(err, errEnded) && try < startTries; try++ {
		// It was dying when we looked: a killed process is still there for a moment.
		// Or a port that it chose by itself was taken by another part meanwhile.
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

// errEnded means that the process ended before it answered.
var errEnded = errors.New("it ended")

func (s *Stack) launch(ctx context.Context, p part) error {
	if err := s.Stop(p.name); err != nil { // what a killed one has left holds its ports
		return err
	}
	for _, port := range p.ports {
		if !ports.WaitFree(ctx, port, freeTimeout) {
			return fmt.Errorf("%s: another program listens on port %d: `make down` and `make up` choose another port", p.name, port)
		}
	}
	spec, err := p.prepare(ctx)
	if err != nil {
		return fmt.Errorf("prepare %s: %w", p.name, err)
	}
	spec.Name = p.name
	return s.Start(spec)
}

// await waits until the part answers. One that dies is not waited for, and an
// answer counts only while it lives: somebody else may have given it.
func (s *Stack) await(ctx context.Context, p part) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := p.ready(ctx)
		if s.Pid(p.name) == 0 {
			return s.failed(p.name, errEnded)
		}
		if err == nil {
			return nil
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

// failed shows the end of the log beside the reason.
func (s *Stack) failed(name string, reason error) error {
	return fmt.Errorf("%s does not start: %w; the end of %s:\n%s", name, reason, s.Log(name), s.Tail(name, 15))
}

// listening is a ready check: somebody takes connections on the port.
func listening(port int) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", ports.Addr(port))
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// answering is a ready check: the URL says 200.
func answering(url string) func(ctx context.Context) error {
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
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s says %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
		}
		return nil
	}
}
