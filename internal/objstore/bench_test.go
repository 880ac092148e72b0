package objstore_test

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// benchStore is a store without a proxy, with the default settings.
func benchStore(b *testing.B) *objstore.Store {
	b.Helper()
	s3 := services.Bucket(b)
	store, err := objstore.New(objstore.Config{
		Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey, Bucket: s3.Bucket, Region: s3.Region, UseTLS: s3.UseTLS,
	})
	require.NoError(b, err)
	b.Cleanup(store.Close)
	require.NoError(b, store.Ping(b.Context()))
	return store
}

// cpuTime returns the processor time of this process, without the store's.
func cpuTime() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// reportCPU adds the processor time per operation to the result.
func reportCPU(b *testing.B, before time.Duration) {
	b.ReportMetric(float64(cpuTime()-before)/1e6/float64(b.N), "cpu-ms/op")
}

// BenchmarkPutBytes stores small objects, sequentially and concurrently.
func BenchmarkPutBytes(b *testing.B) {
	for _, size := range []int{10 << 10, 1 << 20} {
		for _, parallel := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB/%d", size>>10, parallel), func(b *testing.B) {
				store := benchStore(b)
				req := small(b, size, 1)
				b.SetBytes(int64(size))
				b.SetParallelism(parallel / 2) // of 2 processors
				var next atomic.Int64
				b.ResetTimer()
				before := cpuTime()
				put := func() {
					one := req
					one.Key = fmt.Sprintf("bench/%d", next.Add(1))
					if _, err := store.PutBytes(b.Context(), one); err != nil {
						b.Error(err)
					}
				}
				if parallel == 1 {
					for range b.N {
						put()
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							put()
						}
					})
				}
				b.StopTimer()
				reportCPU(b, before)
			})
		}
	}
}

// BenchmarkPut stores a staged file: of one part, and of four.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dMiB", size>>20), func(b *testing.B) {
			store := benchStore(b)
			req, _ := stage(b, size, 2)
			b.SetBytes(int64(size))
			b.ResetTimer()
			before := cpuTime()
			for i := range b.N {
				one := req
				one.Key = fmt.Sprintf("bench/%d", i)
				_, err := store.Put(b.Context(), one)
				require.NoError(b, err)
			}
			b.StopTimer()
			reportCPU(b, before)
		})
	}
}
