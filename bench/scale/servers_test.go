package scale_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"stevedore/bench/scale"
	"stevedore/internal/audit"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/workflows"
)

// fleet is a large number of servers, some of which are silent or slow.
type fleet struct {
	*sandbox.Cluster
	size     fleetSize
	schedule string
	db       *pgx.Conn
	healthy  map[string]bool // by uuid
	silent   map[string]bool
}

// fleetSize is the number of servers of each kind and their scan interval.
type fleetSize struct {
	servers, silent, slow, files, openSSH int
	interval                              time.Duration
	passes                                int
}

// slowAnswer is the delay of each response of a slow server.
const slowAnswer = 2 * time.Second

// TestScaleServers runs the schedule for many servers, some of them silent or slow. At
// full size its worker is killed after the first pass. All scans of a pass start in time,
// and the healthy servers keep their interval. The silent ones are shown as late after a
// missed tick, and with their cause.
func TestScaleServers(t *testing.T) {
	t.Parallel()
	f := &fleet{
		Cluster: sandbox.NewCluster(t), healthy: map[string]bool{}, silent: map[string]bool{},
		size: scale.Size(
			fleetSize{servers: 40, silent: 3, slow: 2, files: 5, openSSH: 2, interval: 5 * time.Second, passes: 2},
			fleetSize{servers: 1000, silent: 50, slow: 20, files: 100, openSSH: 5, interval: time.Minute, passes: 3},
		),
	}
	f.SetTimeout(20 * time.Minute)
	f.connect(t)
	f.addServers(t)
	f.measure(t)
	f.RequireExactlyOnce(t)
}

func (f *fleet) connect(t *testing.T) {
	t.Helper()
	db, err := pgx.Connect(f.Context(t), f.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close(t.Context()) })
	f.db = db
}

// addServers registers all servers. Half of the silent ones accept connections and send
// nothing; the others become silent after the login. Some of the healthy ones are
// folders of a real OpenSSH server; the others run in this process.
func (f *fleet) addServers(t *testing.T) {
	t.Helper()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	empty, slow, unresponsive := services.StartFaultySFTP(t), services.StartFaultySFTP(t), services.StartFaultySFTP(t)
	slow.SetFaults(services.SFTPFaults{Before: func() { time.Sleep(slowAnswer) }})
	unresponsive.SetFaults(services.SFTPFaults{Before: func() { <-never }})
	port := f.blackHole(t)
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	for i := range f.size.servers {
		switch name := fmt.Sprintf("server-%04d", i); {
		case i < f.size.silent/2:
			f.silent[f.add(t, unresponsive, name, 0)] = true
		case i < f.size.silent:
			f.silent[f.add(t, empty, name, port)] = true
		case i < f.size.silent+f.size.slow:
			f.add(t, slow, name, 0)
		case i < f.size.silent+f.size.slow+f.size.files:
			own := services.StartFaultySFTP(t)
			f.healthy[f.add(t, own, name, 0)] = true
			f.WriteFaulty(own, name, "a.bin", sandbox.Random(1000+i))
		case i >= f.size.servers-f.size.openSSH:
			f.healthy[f.addFolder(t, sshd, name, sandbox.Random(1000+i))] = true
		default:
			f.healthy[f.add(t, empty, name, 0)] = true
		}
	}
}

// add registers a server at the address of odd, or at another port. Each has an account of
// its own: logins to one account are made two at a time, because it may be locked.
func (f *fleet) add(t *testing.T, odd *services.FaultySFTP, name string, port int) string {
	t.Helper()
	server := odd.Server(name, uuid.NewString())
	server.Username, server.Settle, server.ScanInterval = name, time.Second, f.size.interval
	if port != 0 {
		server.Port = port
	}
	server.PasswordEncrypted = f.Seal(t, server, credentials.FieldPassword, []byte(odd.Password))
	_, err := f.Store.AddServer(f.Context(t), server)
	require.NoError(t, err)
	return server.UUID
}

// addFolder registers a folder of an OpenSSH server with one file.
func (f *fleet) addFolder(t *testing.T, sshd *services.SSHD, name string, content []byte) string {
	t.Helper()
	sshd.Write(t, name+"/a.bin", content)
	f.OtherSources = append(f.OtherSources, audit.Source{
		Server: name, Path: sshd.Path(name + "/a.bin"), Size: int64(len(content)), SHA256: sandbox.Digest(content),
	})
	return f.Register(t, sshd, name, func(s *ingest.Server) {
		s.RootPath, s.Settle, s.ScanInterval = sshd.Path(name), time.Second, f.size.interval
	}).UUID
}

// blackHole accepts connections and sends nothing.
func (f *fleet) blackHole(t *testing.T) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// measure runs the schedule for some passes and checks them.
func (f *fleet) measure(t *testing.T) {
	t.Helper()
	worker := f.StartProcess(t, sandbox.ProcessOptions{})
	first := f.startMeter(t, worker)
	schedule := f.startSchedule(t)
	late := f.watchLateness(t)
	f.awaitPasses(t, 1)
	first.report(t, "first pass")
	if scale.Full() {
		worker.Kill()
		worker = f.StartProcess(t, sandbox.ProcessOptions{})
	}
	later := f.startMeter(t, worker)
	// A pass that is running now may have started all its scans before the meter.
	f.awaitPasses(t, max(f.size.passes, len(f.passes(t))+2))
	later.report(t, "later passes")
	late.require(t)
	require.NoError(t, schedule.Delete(f.Context(t)))
	f.requirePassesInTime(t)
	f.requireIntervals(t)
	f.requireCauses(t)
	for _, file := range f.Files(t) {
		f.AwaitIngest(t, f.Completed(t, file.RemotePath).UUID)
	}
}

func (f *fleet) startSchedule(t *testing.T) client.ScheduleHandle {
	t.Helper()
	f.schedule = "scan/scale-" + uuid.NewString()
	schedule, err := f.Temporal.ScheduleClient().Create(f.Context(t), client.ScheduleOptions{
		ID: "scale-" + uuid.NewString(),
		// The first pass starts immediately.
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: f.size.interval, Offset: offset(f.size.interval)}}},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{
			ID: f.schedule, TaskQueue: f.Queue, Workflow: workflows.NameScanAllServers,
			Args: []any{workflows.ScanAllServersInput{Source: "schedule", Tick: f.size.interval}},
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = schedule.Delete(t.Context()) })
	return schedule
}

// offset returns the schedule's offset with which the next tick is in two seconds.
func offset(every time.Duration) time.Duration {
	return time.Duration((time.Now().Add(2*time.Second).UnixNano())%int64(every)) / time.Second * time.Second
}

// pass is one scan of all servers.
type pass struct {
	began   time.Time
	next    time.Time // start of the next pass, which may still run; zero for the last
	summary workflows.ScanSummary
}

// passes returns the scans of all servers that have ended, in order.
func (f *fleet) passes(t *testing.T) (all []pass) {
	t.Helper()
	begun := f.executions(t, workflows.NameScanAllServers)
	for i, w := range begun {
		if w.closed.IsZero() {
			continue
		}
		p := pass{began: w.started}
		if i+1 < len(begun) {
			p.next = begun[i+1].started
		}
		require.NoError(t, f.Temporal.GetWorkflow(f.Context(t), w.id, w.run).Get(f.Context(t), &p.summary))
		all = append(all, p)
	}
	return all
}

func (f *fleet) awaitPasses(t *testing.T, n int) {
	t.Helper()
	sandbox.Eventually(t, func() bool { return len(f.passes(t)) >= n }, time.Duration(2*n)*f.size.interval+sandbox.Timeout,
		500*time.Millisecond, "pass %d does not end", n)
	f.awaitListings(t, n)
}

// awaitListings waits until each healthy server has been listed n times.
func (f *fleet) awaitListings(t *testing.T, n int) {
	t.Helper()
	sandbox.Eventually(t, func() bool {
		for _, begun := range f.listings(t) {
			if len(begun) < n {
				return false
			}
		}
		return len(f.listings(t)) == len(f.healthy)
	}, 2*f.size.interval+sandbox.Timeout, time.Second, "healthy servers are not listed %d times", n)
}

// listings returns the start times of the listings of each healthy server, in order.
func (f *fleet) listings(t *testing.T) map[string][]time.Time {
	t.Helper()
	rows, err := f.db.Query(f.Context(t), `SELECT server_uuid::text, started_at FROM scans WHERE error IS NULL AND finished_at IS NOT NULL ORDER BY started_at`)
	require.NoError(t, err)
	begun := map[string][]time.Time{}
	var server string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&server, &at}, func() error {
		if f.healthy[server] {
			begun[server] = append(begun[server], at)
		}
		return nil
	})
	require.NoError(t, err)
	return begun
}

// requireCauses checks that silent servers are shown with the cause.
func (f *fleet) requireCauses(t *testing.T) {
	t.Helper()
	sandbox.Eventually(t, func() bool {
		for id := range f.silent {
			server, err := f.Store.Server(f.Context(t), id)
			require.NoError(t, err)
			if server.LastError == "" {
				return false
			}
		}
		return true
	}, 4*time.Minute, time.Second, "the cause of a silent server is not recorded")
	for id := range f.silent {
		server, err := f.Store.Server(f.Context(t), id)
		require.NoError(t, err)
		assert.Contains(t, strings.ToLower(server.LastError), server.Name)
	}
}
