package stack

import (
	"context"
	"path/filepath"
	"strconv"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

func (s *Stack) minio() part {
	return part{
		name: "minio",
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{
				Path: s.tool("minio"),
				Args: []string{
					"server", "--address", ports.Addr(s.addr.Minio), "--console-address", ports.Addr(s.addr.MinioConsole),
					filepath.Join(s.Dir, "minio"),
				},
				Env: []string{
					"MINIO_ROOT_USER=stevedore", "MINIO_ROOT_PASSWORD=" + s.addr.MinioPassword,
					"MINIO_UPDATE=off", // asks the internet for news otherwise
				},
			}, nil
		},
		ports: []int{s.addr.Minio, s.addr.MinioConsole},
		ready: answering("http://" + ports.Addr(s.addr.Minio) + "/minio/health/ready"),
	}
}

// temporal is the dev server with its Web UI.
func (s *Stack) temporal() part {
	return part{
		name: "temporal",
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{
				Path: s.tool("temporal"),
				Args: []string{
					"server", "start-dev", "--ip", ports.Loopback, "--port", strconv.Itoa(s.addr.Temporal),
					"--ui-port", strconv.Itoa(s.addr.UI), "--db-filename", filepath.Join(s.Dir, "temporal.db"), "--log-level", "error",
				},
			}, nil
		},
		ports: []int{s.addr.Temporal, s.addr.UI},
		ready: func(ctx context.Context) error {
			return s.command(ctx, nil, s.tool("temporal"), "operator", "namespace", "describe", "-n", "default",
				"--address", ports.Addr(s.addr.Temporal), "--command-timeout", "5s")
		},
	}
}
