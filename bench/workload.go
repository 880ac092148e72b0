package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"stevedore/internal/test/services"
)

// age is the age of the files, so that they count as settled.
const age = time.Hour

// Workload is a set of files on its own servers.
type Workload struct {
	// Name is one of Workloads.
	Name    string
	Servers []*services.SSHD
	// Units is the amount of work in the unit of the name.
	Units float64

	// sizes are the files' sizes by server name and path below its root.
	sizes map[string]int64
	// part is set if the workload has only some of the files on the servers.
	part bool
}

// ServerName returns the name of the i-th server, which is the prefix of its objects.
func ServerName(i int) string { return fmt.Sprintf("partner-%d", i) }

// NewSmall creates n small files, spread over the servers.
func NewSmall(t *testing.T, n int) Workload {
	w := newWorkload(t, SmallName, slices.Repeat([]int64{smallSize}, n))
	w.Units = float64(n)
	return w
}

// NewLarge creates one file of mib MiB on each server.
func NewLarge(t *testing.T, mib int) Workload {
	return newWorkload(t, LargeName, slices.Repeat([]int64{int64(mib) << 20}, Servers))
}

// NewHuge creates one file of mib MiB on the first server.
func NewHuge(t *testing.T, mib int) Workload {
	return newWorkload(t, HugeName, []int64{int64(mib) << 20})
}

// NewMix creates n files of log-normal sizes with a total of mib MiB.
func NewMix(t *testing.T, n, mib int) Workload {
	return newWorkload(t, MixName, LogNormal(n, int64(mib)<<20))
}

// mixSigma is the standard deviation of the sizes' logarithms. With 2 the median
// is a seventh of the mean, and a file in a hundred is fourteen times the mean.
const mixSigma = 2

// LogNormal returns n sizes in bytes with the sum total, the same in every run.
func LogNormal(n int, total int64) []int64 {
	random := rand.New(rand.NewPCG(mixSigma, uint64(n)))
	shares, sum := make([]float64, n), 0.0
	for i := range shares {
		shares[i] = math.Exp(mixSigma * random.NormFloat64())
		sum += shares[i]
	}
	sizes, left := make([]int64, n), total
	for i, share := range shares[1:] {
		sizes[i+1] = int64(share / sum * float64(total))
		left -= sizes[i+1]
	}
	sizes[0] = left // includes the remainders of rounding down
	return sizes
}

// newWorkload writes one file of each size, spread over the servers. Units are
// MiB.
func newWorkload(t *testing.T, name string, sizes []int64) Workload {
	t.Helper()
	w := Workload{Name: name, sizes: map[string]int64{}}
	for range Servers {
		w.Servers = append(w.Servers, services.StartSSHD(t, services.SSHDOptions{}))
	}
	for i, size := range sizes {
		w.Units += float64(size) / (1 << 20)
		rel := fmt.Sprintf("out/file_%06d.bin", i)
		if err := writeFile(w.Servers[i%Servers].Path(rel), uint64(i), size); err != nil {
			t.Fatalf("create the files: %v", err)
		}
		w.sizes[ServerName(i%Servers)+"/"+rel] = size
	}
	return w
}

// Files returns the number of files.
func (w Workload) Files() int { return len(w.sizes) }

// Part returns the workload with its first n files. The others stay on the servers, so
// contenders must copy the files in Paths only.
func (w Workload) Part(n int) Workload {
	names := slices.Sorted(maps.Keys(w.sizes))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	names = names[:min(n, len(names))]
	part := w
	part.part, part.Units, part.sizes = true, 0, map[string]int64{}
	for _, name := range names {
		part.sizes[name] = w.sizes[name]
		part.Units += w.Units / float64(len(w.sizes))
	}
	return part
}

// Paths returns the sorted paths below the root of one server.
func (w Workload) Paths(server string) (paths []string) {
	for _, name := range slices.Sorted(maps.Keys(w.sizes)) {
		if path, ok := strings.CutPrefix(name, server+"/"); ok {
			paths = append(paths, path)
		}
	}
	return paths
}

// writeFile creates an old file with incompressible content that depends on the seed.
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

// Check returns an error unless the bucket contains all files under their server's name,
// in full size, and nothing else.
func (w Workload) Check(ctx context.Context, s3 services.S3) error {
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

// Empty removes all objects of the bucket.
func Empty(ctx context.Context, s3 services.S3) error {
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
