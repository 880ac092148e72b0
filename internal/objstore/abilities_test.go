package objstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"stevedore/internal/objstore"
	"stevedore/internal/test/services"
)

// Workers start concurrently; each tests the store with the same probe and removes
// it.
func TestConcurrentTrials(t *testing.T) {
	t.Parallel()
	const workers, rounds = 8, 3
	s3 := services.Bucket(t)
	req, _ := stage(t, partSize+1, 33)
	for round := range rounds {
		var group errgroup.Group
		for worker := range workers {
			store, err := objstore.New(objstore.Config{
				Endpoint: s3.Endpoint, AccessKey: s3.AccessKey, SecretKey: s3.SecretKey,
				Bucket: s3.Bucket, Region: s3.Region, PartSize: partSize,
			})
			require.NoError(t, err)
			t.Cleanup(store.Close)
			theirs := req
			theirs.Key = fmt.Sprintf("%d/%d", round, worker)
			group.Go(func() error {
				_, err := store.Put(t.Context(), theirs)
				return err
			})
		}
		require.NoError(t, group.Wait())
	}
}
