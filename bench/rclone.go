package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh/knownhosts"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/test/services"
)

// sampleInterval is the interval of reading a process's peak memory.
const sampleInterval = 20 * time.Millisecond

// Rclone runs one `rclone copy` per server, as is common in cron jobs.
type Rclone struct {
	// Program is the path of the binary.
	Program string
	// Dir is an empty folder for keys.
	Dir string
	// Hashing keeps rclone's default hash check, which runs md5sum on the server for
	// every file and is often disabled for speed.
	Hashing bool
}

// Usage is the sum of the resources of the processes.
type Usage struct {
	PeakBytes int64
	CPU       time.Duration
}

// Copy runs the processes concurrently and returns their usage.
func (r Rclone) Copy(ctx context.Context, w Workload, s3 services.S3) (total Usage, err error) {
	group, ctx := errgroup.WithContext(ctx)
	used := make([]Usage, len(w.Servers))
	for i := range w.Servers {
		if len(w.Paths(ServerName(i))) == 0 {
			continue
		}
		group.Go(func() (err error) {
			used[i], err = r.copyServer(ctx, w, i, s3)
			return err
		})
	}
	err = group.Wait()
	for _, u := range used {
		total.PeakBytes += u.PeakBytes
		total.CPU += u.CPU
	}
	return total, err
}

// arguments returns the arguments for copying the files of one server.
func (r Rclone) arguments(w Workload, i int, s3 services.S3) ([]string, error) {
	parallel, name := strconv.Itoa(PerServer), ServerName(i)
	args := []string{"copy", "src:" + w.Servers[i].Root, "dst:" + s3.Bucket + "/" + name,
		"--transfers", parallel, "--checkers", parallel, "--retries", "1", "--s3-no-check-bucket"}
	if !r.Hashing {
		args = append(args, "--ignore-checksum", "--sftp-disable-hashcheck")
	}
	if !w.part {
		return args, nil
	}
	list := filepath.Join(r.Dir, name+".files")
	return append(args, "--files-from-raw", list), os.WriteFile(list, []byte(strings.Join(w.Paths(name), "\n")+"\n"), 0o600)
}

func (r Rclone) copyServer(ctx context.Context, w Workload, i int, s3 services.S3) (used Usage, err error) {
	name := ServerName(i)
	env, err := r.environment(w.Servers[i], name, s3)
	if err != nil {
		return used, err
	}
	args, err := r.arguments(w, i, s3)
	if err != nil {
		return used, err
	}
	cmd := exec.CommandContext(ctx, r.Program, args...)
	var output bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), &output, &output
	if err := cmd.Start(); err != nil {
		return used, err
	}
	ended := make(chan struct{})
	sampled := make(chan int64)
	go func() { sampled <- watchPeak(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	close(ended)
	used = Usage{PeakBytes: <-sampled, CPU: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if err != nil {
		return used, fmt.Errorf("rclone of %s: %w:\n%s", name, err, output.Bytes())
	}
	return used, nil
}

// environment returns the configuration as environment variables.
func (r Rclone) environment(server *services.SSHD, name string, s3 services.S3) ([]string, error) {
	hostKey, err := parseHostKey(server)
	if err != nil {
		return nil, err
	}
	key, hosts := filepath.Join(r.Dir, name+".key"), filepath.Join(r.Dir, name+".hosts")
	if err := os.WriteFile(key, server.PrivateKeyPEM, 0o600); err != nil {
		return nil, err
	}
	line := knownhosts.Line([]string{address(server)}, hostKey) + "\n"
	if err := os.WriteFile(hosts, []byte(line), 0o600); err != nil {
		return nil, err
	}
	return []string{
		"RCLONE_CONFIG=" + os.DevNull,
		"RCLONE_CONFIG_SRC_TYPE=sftp", "RCLONE_CONFIG_SRC_HOST=" + server.Host, "RCLONE_CONFIG_SRC_PORT=" + strconv.Itoa(server.Port),
		"RCLONE_CONFIG_SRC_USER=" + server.User, "RCLONE_CONFIG_SRC_KEY_FILE=" + key, "RCLONE_CONFIG_SRC_KNOWN_HOSTS_FILE=" + hosts,
		"RCLONE_CONFIG_DST_TYPE=s3", "RCLONE_CONFIG_DST_PROVIDER=Minio", "RCLONE_CONFIG_DST_ENDPOINT=http://" + s3.Endpoint,
		"RCLONE_CONFIG_DST_ACCESS_KEY_ID=" + s3.AccessKey, "RCLONE_CONFIG_DST_SECRET_ACCESS_KEY=" + s3.SecretKey,
		"RCLONE_CONFIG_DST_REGION=us-east-1",
	}, nil
}

// watchPeak reads a process's peak memory until it has ended and returns the maximum; 0
// where the system does not provide it. ru_maxrss is not usable, because it includes the
// memory of the process that forked it.
func watchPeak(pid int, ended <-chan struct{}) (peak int64) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for {
		if now := peakOf(pid); now > peak {
			peak = now
		}
		select {
		case <-tick.C:
		case <-ended:
			return peak
		}
	}
}

// peakOf returns VmHWM in bytes.
func peakOf(pid int) int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if fields := bytes.Fields(line); len(fields) > 1 && string(fields[0]) == "VmHWM:" {
			kib, _ := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10
		}
	}
	return 0
}
