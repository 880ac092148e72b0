package runbook_test

import (
	"context"
	"path"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

const paused = "State                 Paused"

// attempt returns the attempt in the output of `workflow describe`, 0 without one.
func attempt(described string) int {
	found := regexp.MustCompile(`(?m)^ +Attempt +(\d+)$`).FindStringSubmatch(described)
	if found == nil {
		return 0
	}
	n, _ := strconv.Atoi(found[1])
	return n
}

// TestRecipesForStepsThatAreTriedAgain has a missing bucket, so that uploads wait for
// their next attempt.
func TestRecipesForStepsThatAreTriedAgain(t *testing.T) {
	t.Parallel()
	tries := &tries{}
	y := newFailingServerWith(t, sandbox.Staged, func(d activities.Deps) activities.Deps {
		d.Objects = countedTries{d.Objects, tries}
		return d
	})
	p := at(t, y.Cluster, client.DefaultNamespace)
	require.NoError(t, y.S3.Core.RemoveBucket(y.Context(t), y.S3.Bucket))
	y.Write(t, "held.bin", sandbox.Random(2<<20))
	y.Write(t, "hurried.bin", sandbox.Random(1000))
	scan := y.Scan(t)
	waits := func(f ingest.File) bool { return f.ErrorMessage != "" }
	held, hurried := y.File(t, y.Path("held.bin"), waits), y.File(t, y.Path("hurried.bin"), waits)
	p.until(t, "list-large", has(held.UUID), "SERVER", y.name)
	p.until(t, "count-by-status", has("uploading   Total: 2"), "SERVER", y.name)

	p.run(t, "pause-activity", "FILE_UUID", held.UUID)
	p.until(t, "describe-file", has(paused, y.S3.Bucket, "does not exist"), "FILE_UUID", held.UUID)
	p.until(t, "list-paused", has(held.UUID))

	p.until(t, "describe-file", func(out string) bool { return attempt(out) >= 4 }, "FILE_UUID", hurried.UUID)
	p.run(t, "reset-activity", "FILE_UUID", hurried.UUID)
	sandbox.Eventually(t, func() bool { return tries.restarted("hurried.bin") }, sandbox.Timeout, 20*time.Millisecond, "the tries go on counting")

	require.NoError(t, y.S3.Core.MakeBucket(y.Context(t), y.S3.Bucket, minio.MakeBucketOptions{}))
	y.Completed(t, hurried.RemotePath)
	assert.Contains(t, p.run(t, "describe-file", "FILE_UUID", held.UUID), paused)
	y.AwaitIngest(t, hurried.UUID)
	p.fails(t, "pause-activity", "FILE_UUID", hurried.UUID)

	p.run(t, "unpause-activity", "FILE_UUID", held.UUID)
	y.Completed(t, held.RemotePath)
	y.AwaitScans(t, scan)
	y.RequireExactlyOnce(t)
}

// tries returns the attempts of uploads in order, by object key.
type tries struct {
	mu     sync.Mutex
	byName map[string][]int32
}

// restarted reports whether a first attempt has followed a later one.
func (r *tries) restarted(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	most := int32(0)
	for _, n := range r.byName[name] {
		if n == 1 && most > 1 {
			return true
		}
		most = max(most, n)
	}
	return false
}

// countedTries records each upload's attempt.
type countedTries struct {
	activities.Objects
	tries *tries
}

// Put records the attempt first.
func (c countedTries) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	c.tries.mu.Lock()
	if c.tries.byName == nil {
		c.tries.byName = map[string][]int32{}
	}
	name := path.Base(req.Key)
	c.tries.byName[name] = append(c.tries.byName[name], activity.GetInfo(ctx).Attempt)
	c.tries.mu.Unlock()
	return c.Objects.Put(ctx, req)
}

// stall blocks every upload until release is closed.
type stall struct {
	activities.Objects
	reached chan struct{}
	release chan struct{}
}

// Put blocks first.
func (s stall) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	select {
	case s.reached <- struct{}{}:
	default:
	}
	select {
	case <-s.release:
		return s.Objects.Put(ctx, req)
	case <-ctx.Done():
		return ingest.Object{}, ctx.Err()
	}
}

// TestAStepThatRunsIsPausedAtItsNextReport: a pause reaches the step with the response to
// its heartbeat.
func TestAStepThatRunsIsPausedAtItsNextReport(t *testing.T) {
	t.Parallel()
	reached, release := make(chan struct{}, 1), make(chan struct{})
	y := newFailingServerWith(t, sandbox.Staged, func(d activities.Deps) activities.Deps {
		d.Objects = stall{d.Objects, reached, release}
		return d
	})
	p := at(t, y.Cluster, client.DefaultNamespace)
	y.Write(t, "a.bin", sandbox.Random(1000))
	scan := y.Scan(t)
	file := y.File(t, y.Path("a.bin"), func(f ingest.File) bool { return f.Status == ingest.StatusUploading })
	<-reached

	p.run(t, "pause-activity", "FILE_UUID", file.UUID)
	p.until(t, "describe-file", has(paused, "an operator paused or reset this step"), "FILE_UUID", file.UUID)
	assert.Empty(t, y.File(t, file.RemotePath, func(ingest.File) bool { return true }).ErrorMessage, "a pause is no error")
	slots, err := y.Store.Slots(y.Context(t), file.ServerUUID)
	require.NoError(t, err)
	require.Len(t, slots, 1, "a paused step keeps its slot")
	close(release)
	p.run(t, "unpause-activity", "FILE_UUID", file.UUID)
	y.Completed(t, file.RemotePath)
	y.AwaitScans(t, scan)
	y.RequireExactlyOnce(t)
}
