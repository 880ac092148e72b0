package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/testenv"
)

// age is how old the files seem, so that nobody waits for them to settle.
const age = time.Hour

// Workload is a set of files on servers of its own.
type Workload struct {
	// Name is SmallName or LargeName.
	Name    string
	Servers []*testenv.SSHD
	// Units is how much work that is, in the unit of the name.
	Units float64

	// sizes are the files' sizes by server name and path below its root.
	sizes map[string]int64
}

// ServerName is the name of the i-th server, by which copies are kept apart.
func ServerName(i int) string { return fmt.Sprintf("partner-%d", i) }

// NewSmall makes n small files, spread over the servers.
func NewSmall(t *testing.T, n int) Workload {
	w := newWorkload(t, SmallName, n, smallSize)
	w.Units = float64(n)
	return w
}

// NewLarge makes one file of mib MiB on each server.
func NewLarge(t *testing.T, mib int) Workload {
	w := newWorkload(t, LargeName, Servers, int64(mib)<<20)
	w.Units = float64(Servers * mib)
	return w
}

func newWorkload(t *testing.T, name string, n int, size int64) Workload {
	t.Helper()
	w := Workload{Name: name, sizes: map[string]int64{}}
	for range Servers {
		w.Servers = append(w.Servers, testenv.StartSSHD(t, testenv.SSHDOptions{}))
	}
	for i := range n {
		rel := fmt.Sprintf("out/file_%06d.bin", i)
		if err := writeFile(w.Servers[i%Servers].Path(rel), uint64(i), size); err != nil {
			t.Fatalf("make the files: %v", err)
		}
		w.sizes[ServerName(i%Servers)+"/"+rel] = size
	}
	return w
}

// writeFile makes an old file of bytes that compress badly and that no other
// seed gives.
func writeFile(path string, seed uint64, size int64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed+1)
	if _, err := io.CopyN(file, rand.NewChaCha8(key), size); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	old := time.Now().Add(-age)
	return os.Chtimes(path, old, old)
}

// Check compares what a peer left in the bucket, under server names, with the
// files: all of them, in full size, and nothing else.
func (w Workload) Check(ctx context.Context, s3 testenv.S3) error {
	missing := maps.Clone(w.sizes)
	for object := range s3.Core.Client.ListObjects(ctx, s3.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return fmt.Errorf("list bucket %s: %w", s3.Bucket, object.Err)
		}
		if size, ok := missing[object.Key]; !ok || size != object.Size {
			return fmt.Errorf("object %s has %d bytes, the file %d (a file: %t)", object.Key, object.Size, size, ok)
		}
		delete(missing, object.Key)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of %d files did not arrive", len(missing), len(w.sizes))
	}
	return nil
}

// Empty removes all objects of the bucket at once.
func Empty(ctx context.Context, s3 testenv.S3) error {
	objects := make(chan minio.ObjectInfo)
	var listing error
	go func() {
		defer close(objects)
		for object := range s3.Core.Client.ListObjects(ctx, s3.Bucket, minio.ListObjectsOptions{Recursive: true}) {
			if listing = object.Err; listing != nil {
				return
			}
			objects <- object
		}
	}()
	var first error
	for failed := range s3.Core.RemoveObjects(ctx, s3.Bucket, objects, minio.RemoveObjectsOptions{}) {
		if first == nil {
			first = failed.Err
		}
	}
	if first == nil {
		first = listing
	}
	return first
}
