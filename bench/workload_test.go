package bench

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLogNormal(t *testing.T) {
	t.Parallel()
	const n, total = 3000, 3 << 30
	sizes := LogNormal(n, total)
	assert.Equal(t, sizes, LogNormal(n, total), "every run has the same files")
	sum := int64(0)
	for _, size := range sizes {
		assert.GreaterOrEqual(t, size, int64(0))
		sum += size
	}
	assert.EqualValues(t, total, sum)
	slices.Sort(sizes)
	assert.InDelta(t, 7.4, float64(total/n)/float64(sizes[n/2]), 2, "the mean by the median is exp(sigma²/2)")
	assert.Equal(t, []int64{5}, LogNormal(1, 5))
}

func TestPart(t *testing.T) {
	t.Parallel()
	w := Workload{Name: SmallName, Units: 6, sizes: map[string]int64{}}
	for i, name := range []string{"out/0", "out/1", "out/2", "out/3", "out/4", "out/5"} {
		w.sizes[ServerName(i%2)+"/"+name] = int64(i)
	}
	part := w.Part(3)
	assert.Equal(t, 3, part.Files())
	assert.InDelta(t, 3, part.Units, 1e-9)
	assert.Equal(t, []string{"out/0", "out/2"}, part.Paths(ServerName(0)))
	assert.Equal(t, []string{"out/1"}, part.Paths(ServerName(1)))
	assert.Equal(t, 6, w.Files(), "the workload itself is unchanged")
	assert.Equal(t, 6, w.Part(100).Files())
}
