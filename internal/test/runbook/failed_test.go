package runbook_test

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// hostile is a file name that contains a link, an image and markup.
const hostile = "`x` [c](http:) ![i](http:) <img src=x> <script>a</script> $x$ **b**.csv"

// failingServer is a server with files in error. Its name is unique, because all tests
// share a namespace.
type failingServer struct {
	*sandbox.Cluster
	*services.SSHD
	name string
}

// newFailingServer creates a server whose small files are transferred in memory first,
// unless change sets the transfer mode; change may be nil.
func newFailingServer(t *testing.T, change func(*ingest.Server)) *failingServer {
	return newFailingServerWith(t, change, nil)
}

// newFailingServerWith is newFailingServer with the worker's dependencies replaced by wrap,
// which may be nil.
func newFailingServerWith(t *testing.T, change func(*ingest.Server), wrap func(activities.Deps) activities.Deps) *failingServer {
	t.Helper()
	y := &failingServer{Cluster: sandbox.NewCluster(t), name: "acme-" + uuid.NewString()[:8]}
	y.StartWorkerWith(t, y.Cfg, wrap)
	y.SSHD = y.AddServer(t, y.name, change)
	return y
}

// fail brings files into status error by wrong checksum files, then corrects the checksum files.
func (y *failingServer) fail(t *testing.T, names ...string) (files []ingest.File) {
	t.Helper()
	for _, name := range names {
		y.Write(t, name, sandbox.Random(100))
		y.Write(t, name+".sha256", []byte(sandbox.Digest([]byte("other"))+"  "+name+"\n"))
	}
	y.Scan(t)
	for _, name := range names {
		files = append(files, y.Failed(t, y.Path(name)))
		y.Write(t, name+".sha256", []byte(sandbox.Digest(sandbox.Random(100))+"  "+name+"\n"))
	}
	return files
}

func (y *failingServer) skipped(t *testing.T, f ingest.File) {
	t.Helper()
	y.File(t, f.RemotePath, func(f ingest.File) bool { return f.Status == ingest.StatusSkipped })
}

func (y *failingServer) decidedBy(t *testing.T, f ingest.File) any {
	return sandbox.Detail(y.Events(t, f.UUID), ingest.EventOperatorAction, "actor")
}

func TestRecipesForFilesThatWait(t *testing.T) {
	t.Parallel()
	y := newFailingServer(t, nil)
	p := at(t, y.Cluster, client.DefaultNamespace)
	files := y.fail(t, "a.csv", "b.csv", "c.csv", "d.csv", "e.csv", "f.csv", "g.csv", hostile)
	last := len(files) - 1

	// Find and count.
	p.until(t, "list-running", has("ingest/"+files[0].UUID, "Running"))
	failed := p.until(t, "list-failed", func(out string) bool { return strings.Count(out, "ingest/") == len(files) }, "SERVER", y.name)
	for _, f := range files {
		assert.Contains(t, failed, "ingest/"+f.UUID)
	}
	assert.NotContains(t, p.run(t, "list-large", "SERVER", y.name), files[0].UUID, "it is small")
	p.until(t, "count-by-status", has("error       Total: 8", "completed   Total: 0"), "SERVER", y.name)
	p.until(t, "count-by-execution", has("Total: 8", "Group total: 8, values: Running"), "SERVER", y.name)

	// Inspect.
	one := []string{"FILE_UUID", files[0].UUID}
	described := p.run(t, "describe-file", one...)
	for _, text := range []string{y.Path("a.csv"), y.name, `"\"error\""`, "Pending Activities: 0"} {
		assert.Contains(t, described, text)
	}
	status := p.run(t, "query-status", one...)
	assert.Contains(t, status, `"failure":{"kind":"hash_mismatch"`)
	assert.Contains(t, status, `"step":"verify"`)
	assert.Contains(t, p.run(t, "show-history", one...), "UpsertWorkflowSearchAttributes")
	assert.Contains(t, p.run(t, "show-steps", one...), "userMetadata.summary: download 100 B from "+y.name)
	harmless(t, p.run(t, "file-details", "FILE_UUID", files[last].UUID))

	// Act on a single file.
	p.run(t, "update-retry", one...)
	y.Completed(t, files[0].RemotePath)
	assert.Equal(t, "you", y.decidedBy(t, files[0]))
	assert.Contains(t, p.fails(t, "update-retry", one...), "unable to update workflow")
	p.run(t, "update-retry-from", "FILE_UUID", files[1].UUID)
	y.Completed(t, files[1].RemotePath)
	p.run(t, "update-skip", "FILE_UUID", files[2].UUID)
	y.skipped(t, files[2])

	// The command in the workflow's details.
	details := p.run(t, "file-details", "FILE_UUID", files[5].UUID)
	command := regexp.MustCompile(`(?m)^temporal .* --name retry$`).FindString(details)
	out, err := p.shell(t, command)
	require.NoError(t, err, out)
	y.Completed(t, files[5].RemotePath)
	assert.Equal(t, "YOU", y.decidedBy(t, files[5]))

	// Act on many files.
	p.until(t, "list-failed", func(out string) bool { return strings.Count(out, "ingest/") == 4 }, "SERVER", y.name)
	p.book["without yes"] = strings.TrimSuffix(p.book["batch-retry"], " --yes")
	_, err = p.enter(t, "without yes", []string{"SERVER", y.name})
	require.Error(t, err, "it was not confirmed")
	// A namespace runs one batch job at a time, and other tests may have one.
	started := p.until(t, "batch-retry", has("job ID:"), "SERVER", y.name)
	job := regexp.MustCompile(`job ID: (\S+)`).FindStringSubmatch(started)
	require.NotNil(t, job, started)
	for _, i := range []int{3, 4, 6, last} {
		y.Completed(t, files[i].RemotePath)
	}
	// Its counts are estimates: those of an attempt that Temporal repeats are lower.
	p.until(t, "batch-describe", regexp.MustCompile(`(?s)State +Completed\b.*FailureCount +0/`).MatchString, "JOB_ID", job[1])
	p.until(t, "count-by-status", has("error       Total: 0", "completed   Total: 7", "skipped     Total: 1"), "SERVER", y.name)
	assert.Contains(t, p.run(t, "file-details", one...), "is **completed**")
	for _, f := range files {
		y.AwaitIngest(t, f.UUID)
	}
	y.requireExactlyOnce(t, files[2])
}

// requireExactlyOnce audits the results without skipped files.
func (y *failingServer) requireExactlyOnce(t *testing.T, skipped ...ingest.File) {
	t.Helper()
	for _, f := range skipped {
		require.NoError(t, os.Remove(f.RemotePath))
	}
	y.RequireExactlyOnce(t)
}

// harmless renders the workflow's details with the Web UI's renderer.
func harmless(t *testing.T, metadata string) {
	t.Helper()
	_, details, ok := strings.Cut(metadata, "Current Details:")
	require.True(t, ok, metadata)
	page, err := http.Get(os.Getenv("STEVEDORE_TEMPORAL_UI_URL") + "/render?content=" + url.QueryEscape(strings.TrimSpace(details)))
	require.NoError(t, err)
	defer func() { _ = page.Body.Close() }()
	text, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	_, body, ok := strings.Cut(string(text), "<main>")
	require.True(t, ok, "%s", text)
	assert.Contains(t, body, `\x60x\x60 [c](http:) ![i](http:) &lt;img src=x&gt; &lt;script&gt;a&lt;/script&gt; $x$ **b**.csv</code>`)
	assert.Contains(t, body, "<strong>failed and needs attention</strong>")
	assert.Contains(t, body, "temporal workflow update execute")
	assert.NotRegexp(t, `<(a|img|script|iframe)\b`, body)
}
