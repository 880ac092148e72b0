package stack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// rabbitmq is a private node with its own home, cookie and port mapper, independent of
// the machine's RabbitMQ.
func (s *Stack) rabbitmq() part {
	return part{
		name: "rabbitmq",
		prepare: func(ctx context.Context) (proc.Spec, error) {
			if err := s.startEpmd(ctx); err != nil {
				return proc.Spec{}, err
			}
			return s.rabbitSpec()
		},
		ports: []int{s.addr.AMQP, s.addr.Dist},
		ready: listening(s.addr.AMQP),
	}
}

// startEpmd starts Erlang's port mapper. Otherwise the node starts one, on all addresses,
// that outlives it.
func (s *Stack) startEpmd(ctx context.Context) error {
	_, err := s.start(ctx, part{
		name: "epmd",
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{Path: s.programs.Epmd, Args: []string{"-address", ports.Loopback, "-port", strconv.Itoa(s.addr.Epmd)}}, nil
		},
		ports: []int{s.addr.Epmd},
		ready: listening(s.addr.Epmd),
	})
	return err
}

func (s *Stack) rabbitSpec() (proc.Spec, error) {
	home := filepath.Join(s.Dir, "rabbitmq")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return proc.Spec{}, err
	}
	conf := fmt.Sprintf("listeners.tcp.default = %s\ndefault_user = stevedore\ndefault_pass = %s\ndisk_free_limit.absolute = 64MB\n",
		ports.Addr(s.addr.AMQP), s.addr.AMQPPassword)
	if err := os.WriteFile(filepath.Join(home, "rabbitmq.conf"), []byte(conf), 0o600); err != nil {
		return proc.Spec{}, err
	}
	in := func(name string) string { return filepath.Join(home, name) }
	return proc.Spec{
		Path: s.programs.RabbitMQ, Dir: home, Grace: 30 * time.Second,
		Env: []string{
			"HOME=" + home,
			// This variable makes the script exec the node. Otherwise the pid is the
			// script's, and killing it leaves the node running.
			"RUNNING_UNDER_SYSTEMD=true",
			"RABBITMQ_NODENAME=stevedore@localhost",
			"RABBITMQ_CONFIG_FILE=" + in("rabbitmq.conf"),
			"RABBITMQ_MNESIA_BASE=" + in("mnesia"),
			"RABBITMQ_LOG_BASE=" + in("log"),
			"RABBITMQ_ENABLED_PLUGINS_FILE=" + in("enabled_plugins"),
			"RABBITMQ_PID_FILE=" + in("pid"),
			"RABBITMQ_DIST_PORT=" + strconv.Itoa(s.addr.Dist),
			"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
			"ERL_EPMD_ADDRESS=" + ports.Loopback,
			"ERL_EPMD_PORT=" + strconv.Itoa(s.addr.Epmd),
		},
	}, nil
}
