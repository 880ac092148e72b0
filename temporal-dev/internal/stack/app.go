package stack

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"time"

	"stevedore/temporal-dev/internal/proc"
)

// grace returns the grace period of worker and API: a little more than
// STEVEDORE_WORKER_STOP_TIMEOUT, which is 40 s by default.
func (s *Stack) grace() time.Duration {
	timeout, err := time.ParseDuration(s.Get("STEVEDORE_WORKER_STOP_TIMEOUT"))
	if err != nil {
		timeout = 40 * time.Second
	}
	return timeout + 5*time.Second
}

// upApp runs setup and starts worker and API, again if their settings changed. It
// repeats setup, which is idempotent, if a service was restarted.
func (s *Stack) upApp(ctx context.Context, restarted bool) (started bool, err error) {
	for _, name := range []string{"worker", "api"} {
		if spec, err := s.Spec(name); err != nil || slices.Equal(spec.Env, s.Env()) {
			continue
		}
		if err := s.Stop(name); err != nil {
			return false, err
		}
	}
	if restarted || s.Pid("worker") == 0 || s.Pid("api") == 0 {
		s.say("  setup      database, bucket, queue, search attributes, schedule, keys")
		setup := exec.CommandContext(ctx, s.tool("stevedore"), "setup")
		setup.Env = append(s.Environ(), s.Env()...)
		if out, err := setup.CombinedOutput(); err != nil {
			return false, errors.New("stevedore setup failed:\n" + string(out))
		}
	}
	if started, err = s.startAll(ctx, []part{s.app("worker"), s.app("api")}); err != nil {
		return started, err
	}
	extra, err := s.restartExtras()
	return started || extra, err
}

// app returns the worker or the API. The worker is ready when the API's /readyz reports
// that it polls.
func (s *Stack) app(name string) part {
	ready, listens := answering(s.Get("STEVEDORE_API_URL")+"/livez", ""), []int{s.addr.API}
	if name == "worker" {
		ready, listens = answering(s.Get("STEVEDORE_API_URL")+"/readyz", `"status":"ready"`), []int{s.addr.Metrics}
	}
	return part{
		name: name,
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{Path: s.tool("stevedore"), Args: []string{name}, Env: s.Env(), Grace: s.grace()}, nil
		},
		ports: listens,
		ready: ready,
	}
}

// restartExtras restarts processes that were added to the stack, such as the demo's SFTP
// servers.
func (s *Stack) restartExtras() (started bool, err error) {
	for _, name := range s.Names() {
		spec, err := s.Spec(name)
		if err != nil || !spec.Extra || s.Pid(name) != 0 {
			continue
		}
		if err := s.Start(spec); err != nil {
			return started, err
		}
		s.say("  %-10s started again (pid %d)", name, s.Pid(name))
		started = true
	}
	return started, nil
}
