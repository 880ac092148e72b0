package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/test/services"
)

// wholeSize is the size in bytes up to which a file is read in one piece.
const wholeSize = 1 << 20

// remote is a file to copy.
type remote struct {
	path string
	key  string
	size int64
}

// Ceiling copies with the same libraries and concurrency, but without records, checks,
// retries and staging. It is the upper bound of any program with these libraries.
func Ceiling(ctx context.Context, w Workload, s3 services.S3) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, server := range w.Servers {
		group.Go(func() error { return copyServer(ctx, server, ServerName(i), s3) })
	}
	return group.Wait()
}

// copyServer lists on one connection and copies on PerServer others.
func copyServer(ctx context.Context, server *services.SSHD, name string, s3 services.S3) error {
	files := make(chan remote)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(files)
		return onServer(server, func(client *sftp.Client) error { return list(ctx, client, server.Root, name, files) })
	})
	for range PerServer {
		group.Go(func() error {
			return onServer(server, func(client *sftp.Client) error {
				for file := range files {
					if err := copyFile(ctx, client, file, s3); err != nil {
						return fmt.Errorf("copy %s: %w", file.path, err)
					}
				}
				return nil
			})
		})
	}
	return group.Wait()
}

func list(ctx context.Context, client *sftp.Client, root, name string, files chan<- remote) error {
	walker := client.Walk(root)
	for walker.Step() {
		if err := walker.Err(); err != nil {
			return err
		}
		info := walker.Stat()
		if info.IsDir() {
			continue
		}
		rel := strings.TrimPrefix(walker.Path(), root+"/")
		select {
		case files <- remote{path: walker.Path(), key: name + "/" + rel, size: info.Size()}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func copyFile(ctx context.Context, client *sftp.Client, file remote, s3 services.S3) error {
	source, err := client.OpenFile(file.path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	if file.size <= wholeSize {
		content := make([]byte, file.size)
		if _, err := io.ReadFull(source, content); err != nil {
			return err
		}
		_, err = s3.Core.Client.PutObject(ctx, s3.Bucket, file.key, bytes.NewReader(content), file.size, minio.PutObjectOptions{})
		return err
	}
	// WriteTo keeps many reads in flight. If it ends early, the upload lacks bytes and
	// fails.
	reader, writer := io.Pipe()
	go func() {
		_, err := source.WriteTo(writer)
		writer.CloseWithError(err)
	}()
	defer func() { _ = reader.Close() }()
	_, err = s3.Core.Client.PutObject(ctx, s3.Bucket, file.key, reader, file.size, minio.PutObjectOptions{
		PartSize: 16 << 20, NumThreads: 4, ConcurrentStreamParts: true,
	})
	return err
}

// onServer logs in with a pinned host key, like the other contenders.
func onServer(server *services.SSHD, use func(*sftp.Client) error) error {
	signer, err := ssh.ParsePrivateKey(server.PrivateKeyPEM)
	if err != nil {
		return err
	}
	hostKey, err := parseHostKey(server)
	if err != nil {
		return err
	}
	conn, err := ssh.Dial("tcp", address(server), &ssh.ClientConfig{
		User: server.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)}, HostKeyCallback: ssh.FixedHostKey(hostKey),
	})
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	client, err := sftp.NewClient(conn)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	return use(client)
}

func address(server *services.SSHD) string {
	return net.JoinHostPort(server.Host, strconv.Itoa(server.Port))
}

func parseHostKey(server *services.SSHD) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(server.HostKeyLine))
	return key, err
}
