package objstore

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLayoutCoversEachSizeInAtMostTenThousandParts(t *testing.T) {
	t.Parallel()
	s := &Store{partSize: defaultPartSize}
	for _, size := range []int64{
		0, 1, defaultPartSize - 1, defaultPartSize, defaultPartSize + 1,
		maxParts * defaultPartSize, maxParts*defaultPartSize + 1, 1 << 40, maxObject,
	} {
		l, err := s.layOut(size)
		require.NoError(t, err)
		require.LessOrEqual(t, l.count, maxParts)
		require.LessOrEqual(t, l.partSize, int64(maxPartSize))
		var total int64
		for number := 1; number <= l.count; number++ {
			part := l.section(nil, number).Size()
			require.True(t, part > 0 || size == 0, "size %d, part %d", size, number)
			total += part
		}
		require.Equal(t, size, total)
	}
	_, err := s.layOut(maxObject + 1)
	require.Error(t, err)
}
