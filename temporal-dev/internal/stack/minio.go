package stack

import (
	"context"
	"path/filepath"

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
					"MINIO_UPDATE=off", // no update checks over the internet
				},
			}, nil
		},
		ports: []int{s.addr.Minio, s.addr.MinioConsole},
		ready: answering("http://"+ports.Addr(s.addr.Minio)+"/minio/health/ready", ""),
	}
}
