package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// slowServer returns a server behind a proxy with the bandwidth in KiB per second.
func slowServer(t *testing.T, h *sandbox.Cluster, name string, rate int) (*services.SSHD, *sandbox.Proxy) {
	return serverBehindProxy(t, h, name, rate, func(s *ingest.Server) { s.Transfer = ingest.TransferStaged })
}

// serverBehindProxy adds a server behind a proxy with rate in KiB per second and connection. edit
// may change its settings.
func serverBehindProxy(t *testing.T, h *sandbox.Cluster, name string, rate int, edit func(*ingest.Server)) (*services.SSHD, *sandbox.Proxy) {
	var proxy *sandbox.Proxy
	sshd := h.AddServer(t, name, func(s *ingest.Server) {
		proxy = sandbox.NewProxy(t, s.Host, s.Port)
		s.Port = proxy.Port
		if edit != nil {
			edit(s)
		}
	})
	proxy.AddToxic(t, "bandwidth", map[string]int{"rate": rate})
	return sshd, proxy
}

// staging returns the variable of a worker process's own staging folder.
func staging(t *testing.T, h *sandbox.Cluster) (variable, dir string) {
	dir = filepath.Join(t.TempDir(), "staging")
	h.OtherStaging = append(h.OtherStaging, dir)
	return "STEVEDORE_STAGING_DIR=" + dir, dir
}

// largestStaged returns the length of the longest staged file.
func largestStaged(dir string) (most int64) {
	found, _ := filepath.Glob(filepath.Join(dir, "files", "*", "data"))
	for _, path := range found {
		if info, err := os.Stat(path); err == nil {
			most = max(most, info.Size())
		}
	}
	return most
}

func awaitStaged(t *testing.T, dir string, bytes int64) {
	t.Helper()
	awaitStagedFor(t, sandbox.Timeout, dir, bytes)
}

func awaitStagedFor(t *testing.T, timeout time.Duration, dir string, bytes int64) {
	t.Helper()
	sandbox.Eventually(t, func() bool { return largestStaged(dir) >= bytes }, timeout, 5*time.Millisecond, "fewer bytes are staged within the timeout")
}

// TestASaturatedHostIsNotConsideredDead: tasks wait longer than the host timeout, but the host
// is alive and its files are not fetched a second time.
func TestASaturatedHostIsNotConsideredDead(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.Cfg.Worker.MaxDownloads, h.Cfg.Worker.MaxUploads, h.Cfg.Worker.HostTimeout = 1, 0, time.Second
	h.StartWorker(t)
	for i := range 4 { // two transfer, one waits in the worker, one in its queue
		partner, _ := slowServer(t, h, fmt.Sprintf("partner-%d", i), 700)
		partner.Write(t, fmt.Sprintf("%d.bin", i), sandbox.Random(2<<20+i))
	}
	h.ScanAndWait(t)
	asked := 0
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, f.UUID)
		asked += timesScheduled(t, h, f.UUID, activities.NameCheckHost)
		answer, err := h.Temporal.QueryWorkflow(h.Context(t), temporalnames.IngestWorkflowID(f.UUID), "", workflows.QueryStatus)
		require.NoError(t, err)
		var status workflows.IngestStatus
		require.NoError(t, answer.Get(&status))
		assert.Zero(t, status.Restages)
	}
	assert.Positive(t, asked, "no task waited longer than the timeout")
	h.RequireExactlyOnce(t)
}

// timesScheduled returns how often the file's workflow scheduled an activity.
func timesScheduled(t *testing.T, h *sandbox.Cluster, fileUUID, name string) (n int) {
	history := h.Temporal.GetWorkflowHistory(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == name {
			n++
		}
	}
	return n
}

// takeoverLimit bounds the wait of files of a dead host: its heartbeat timeout (30 s),
// the host timeout (5 s in these tests), the age at which the host counts as dead, and
// the transfer. The rest is for slow machines.
const takeoverLimit = 3 * time.Minute

// TestADeadHostsFilesAreFinishedByAnother: when the host comes back, nothing is
// duplicated.
func TestADeadHostsFilesAreFinishedByAnother(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	h := sandbox.NewCluster(t)
	acme, proxy := slowServer(t, h, "acme", 2<<10)
	acme.Write(t, "large.bin", sandbox.Random(24<<20))
	dead := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout}})
	scan := h.Scan(t)
	awaitStaged(t, h.Cfg.Staging.Dir, 4<<20)
	variable, other := staging(t, h)
	h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout, variable}})
	dead.Kill()
	began := time.Now()
	proxy.RemoveToxic(t, "bandwidth")
	h.AwaitScans(t, scan)
	took := time.Since(began)
	figure(t, "dead host: its file was finished by another %s after its death", seconds(took))
	assert.Less(t, took, takeoverLimit)
	file := h.Completed(t, acme.Path("large.bin"))
	h.AwaitIngest(t, file.UUID)
	assert.Zero(t, largestStaged(other))

	h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout}})
	sandbox.Eventually(t, func() bool { return h.Reconcile(t).HostsSilent == 0 && largestStaged(h.Cfg.Staging.Dir) == 0 },
		sandbox.Timeout, time.Second, "staged bytes remain after the return of the host")
	h.RequireExactlyOnce(t)
}

// temporalProxy puts a proxy before Temporal and returns the variable with its address for
// worker processes.
func temporalProxy(t *testing.T) (proxy *sandbox.Proxy, variable string) {
	t.Helper()
	host, port := split(t, os.Getenv("TEMPORAL_ADDRESS"))
	proxy = sandbox.NewProxy(t, host, port)
	return proxy, "TEMPORAL_ADDRESS=" + proxy.Address()
}

// TestFault59_TemporalUnavailable interrupts Temporal in the middle of a download; under make
// chaos for longer than a heartbeat timeout. A shorter outage has no effect.
func TestFault59_TemporalUnavailable(t *testing.T) {
	t.Parallel()
	away := 6 * time.Second
	if chaosEnabled {
		away = 5 * time.Minute
	}
	h := sandbox.NewCluster(t)
	temporal, variable := temporalProxy(t)
	acme, sftp := slowServer(t, h, "acme", 1<<10)
	acme.Write(t, "large.bin", sandbox.Random(24<<20))
	acme.Write(t, "small.csv", sandbox.Random(100))
	h.StartProcess(t, sandbox.ProcessOptions{Env: []string{variable}})
	scan := h.Scan(t)
	awaitStaged(t, h.Cfg.Staging.Dir, 2<<20)
	temporal.Cut()
	back := time.AfterFunc(away, func() {
		temporal.Restore(t)
		sftp.RemoveToxic(t, "bandwidth")
	})
	defer back.Stop()
	h.AwaitScans(t, scan)
	file := h.Completed(t, acme.Path("large.bin"))
	h.AwaitIngest(t, file.UUID)
	h.RequireExactlyOnce(t)
	if away < 30*time.Second {
		assert.EqualValues(t, 1, attempts(t, h, file.UUID, activities.NameDownload), "the download was interrupted")
	}
}

// attempts returns the number of attempts of a step of the file.
func attempts(t *testing.T, h *sandbox.Cluster, fileUUID, step string) (tried int32) {
	history := h.Temporal.GetWorkflowHistory(h.Context(t), temporalnames.IngestWorkflowID(fileUUID), "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	scheduled := map[int64]string{}
	for history.HasNext() {
		event, err := history.Next()
		require.NoError(t, err)
		if a := event.GetActivityTaskScheduledEventAttributes(); a != nil {
			scheduled[event.GetEventId()] = a.GetActivityType().GetName()
		}
		if a := event.GetActivityTaskStartedEventAttributes(); a != nil && scheduled[a.GetScheduledEventId()] == step {
			tried += a.GetAttempt()
		}
	}
	return tried
}

// TestFault62_ClocksAreOffByADay: the server's clock is a day ahead or behind, or was
// never set.
func TestFault62_ClocksAreOffByADay(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.StartWorker(t)
	acme := h.AddServer(t, "acme", func(s *ingest.Server) { s.MinAge = 3 * time.Second })
	for name, at := range map[string]time.Time{
		"ahead.csv": time.Now().Add(24 * time.Hour), "behind.csv": time.Now().Add(-24 * time.Hour), "never.csv": time.Unix(0, 0),
	} {
		acme.Write(t, name, sandbox.Random(100+len(name)))
		require.NoError(t, os.Chtimes(acme.Path(name), at, at))
	}
	h.ScanAndWait(t)
	for _, name := range []string{"ahead.csv", "behind.csv", "never.csv"} {
		h.AwaitIngest(t, h.Completed(t, acme.Path(name)).UUID)
	}
	h.RequireExactlyOnce(t)
}

// TestSlowServersDoNotDelayOthers: servers with endless transfers use all downloads of a
// worker; a file of another server is completed meanwhile.
func TestSlowServersDoNotDelayOthers(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	h.Cfg.Worker.MaxDownloads = 2
	h.StartWorker(t)
	var proxies []*sandbox.Proxy
	for i := range 2 {
		partner, proxy := slowServer(t, h, fmt.Sprintf("slow-%d", i), 20)
		for n := range 3 {
			partner.Write(t, fmt.Sprintf("%d-%d.bin", i, n), sandbox.Random(3<<20+10*i+n))
		}
		proxies = append(proxies, proxy)
	}
	good := h.AddServer(t, "good", sandbox.Staged)
	h.Scan(t)
	downloading := func() (n int) {
		for _, f := range h.Files(t) {
			if f.Status == ingest.StatusDownloading {
				n++
			}
		}
		return n
	}
	sandbox.Eventually(t, func() bool { return downloading() >= 2 }, sandbox.Timeout, 50*time.Millisecond, "the slow downloads do not start")
	good.Write(t, "good.csv", sandbox.Random(100))
	h.Scan(t)
	h.AwaitIngest(t, h.Completed(t, good.Path("good.csv")).UUID)
	assert.GreaterOrEqual(t, downloading(), 2, "the slow downloads ended first")
	for _, proxy := range proxies {
		proxy.RemoveToxic(t, "bandwidth")
	}
	for _, f := range h.Files(t) {
		h.AwaitIngest(t, f.UUID)
	}
	h.RequireExactlyOnce(t)
}
