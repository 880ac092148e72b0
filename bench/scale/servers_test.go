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
	f.connect()
	f.addServers()
	f.measure()
	f.RequireExactlyOnce()
}

func (f *fleet) connect() {
	f.T.Helper()
	db, err := pgx.Connect(f.Ctx, f.Cfg.Database.URL.Reveal())
	require.NoError(f.T, err)
	f.T.Cleanup(func() { _ = db.Close(f.T.Context()) })
	f.db = db
}

// addServers registers all servers. Half of the silent ones accept connections and send
// nothing; the others become silent after the log-in. Some of the healthy ones are
// folders of a real OpenSSH server; the others run in this process.
func (f *fleet) addServers() {
	f.T.Helper()
	never := make(chan struct{})
	f.T.Cleanup(func() { close(never) })
	empty, slow, mute := services.StartFaultySFTP(f.T), services.StartFaultySFTP(f.T), services.StartFaultySFTP(f.T)
	slow.SetFaults(services.SFTPFaults{Before: func() { time.Sleep(slowAnswer) }})
	mute.SetFaults(services.SFTPFaults{Before: func() { <-never }})
	port := f.blackHole()
	sshd := services.StartSSHD(f.T, services.SSHDOptions{})
	for i := range f.size.servers {
		switch name := fmt.Sprintf("server-%04d", i); {
		case i < f.size.silent/2:
			f.silent[f.add(mute, name, 0)] = true
		case i < f.size.silent:
			f.silent[f.add(empty, name, port)] = true
		case i < f.size.silent+f.size.slow:
			f.add(slow, name, 0)
		case i < f.size.silent+f.size.slow+f.size.files:
			own := services.StartFaultySFTP(f.T)
			f.healthy[f.add(own, name, 0)] = true
			f.WriteFaulty(own, name, "a.bin", sandbox.Random(1000+i))
		case i >= f.size.servers-f.size.openSSH:
			f.healthy[f.addFolder(sshd, name, sandbox.Random(1000+i))] = true
		default:
			f.healthy[f.add(empty, name, 0)] = true
		}
	}
}

// add registers a server at the address of odd, or at another port.
func (f *fleet) add(odd *services.FaultySFTP, name string, port int) string {
	f.T.Helper()
	server := odd.Server(name, uuid.NewString())
	server.Settle, server.ScanInterval = time.Second, f.size.interval
	if port != 0 {
		server.Port = port
	}
	server.PasswordEncrypted = f.Seal(server, credentials.FieldPassword, []byte(odd.Password))
	_, err := f.Store.AddServer(f.Ctx, server)
	require.NoError(f.T, err)
	return server.UUID
}

// addFolder registers a folder of an OpenSSH server with one file.
func (f *fleet) addFolder(sshd *services.SSHD, name string, content []byte) string {
	f.T.Helper()
	sshd.Write(name+"/a.bin", content)
	f.OtherSources = append(f.OtherSources, audit.Source{
		Server: name, Path: sshd.Path(name + "/a.bin"), Size: int64(len(content)), SHA256: sandbox.Digest(content),
	})
	return f.Register(sshd, name, func(s *ingest.Server) {
		s.RootPath, s.Settle, s.ScanInterval = sshd.Path(name), time.Second, f.size.interval
	}).UUID
}

// blackHole accepts connections and sends nothing.
func (f *fleet) blackHole() (port int) {
	f.T.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(f.T, err)
	f.T.Cleanup(func() { _ = listener.Close() })
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
func (f *fleet) measure() {
	f.T.Helper()
	worker := f.StartProcess(sandbox.ProcessOptions{})
	first := f.startMeter(worker)
	schedule := f.startSchedule()
	late := f.watchLateness()
	f.awaitPasses(1)
	first.report("first pass")
	if scale.Full() {
		worker.Kill()
		worker = f.StartProcess(sandbox.ProcessOptions{})
	}
	later := f.startMeter(worker)
	f.awaitPasses(f.size.passes)
	later.report("later passes")
	late.require()
	require.NoError(f.T, schedule.Delete(f.Ctx))
	f.requirePassesInTime()
	f.requireIntervals()
	f.requireCauses()
	for _, file := range f.Files() {
		f.AwaitIngest(f.Completed(file.RemotePath).UUID)
	}
}

func (f *fleet) startSchedule() client.ScheduleHandle {
	f.T.Helper()
	f.schedule = "scan/scale-" + uuid.NewString()
	schedule, err := f.Temporal.ScheduleClient().Create(f.Ctx, client.ScheduleOptions{
		ID: "scale-" + uuid.NewString(),
		// The first pass starts immediately.
		Spec:    client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: f.size.interval, Offset: offset(f.size.interval)}}},
		Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP,
		Action: &client.ScheduleWorkflowAction{
			ID: f.schedule, TaskQueue: f.Queue, Workflow: workflows.NameScanAllServers,
			Args: []any{workflows.ScanAllServersInput{Source: "schedule", Tick: f.size.interval}},
		},
	})
	require.NoError(f.T, err)
	f.T.Cleanup(func() { _ = schedule.Delete(f.T.Context()) })
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
func (f *fleet) passes() (all []pass) {
	f.T.Helper()
	begun := f.executions(workflows.NameScanAllServers)
	for i, w := range begun {
		if w.closed.IsZero() {
			continue
		}
		p := pass{began: w.started}
		if i+1 < len(begun) {
			p.next = begun[i+1].started
		}
		require.NoError(f.T, f.Temporal.GetWorkflow(f.Ctx, w.id, w.run).Get(f.Ctx, &p.summary))
		all = append(all, p)
	}
	return all
}

func (f *fleet) awaitPasses(n int) {
	f.T.Helper()
	sandbox.Eventually(f.T, func() bool { return len(f.passes()) >= n }, time.Duration(2*n)*f.size.interval+sandbox.Timeout,
		500*time.Millisecond, "pass %d does not end", n)
	f.awaitListings(n)
}

// awaitListings waits until each healthy server has been listed n times.
func (f *fleet) awaitListings(n int) {
	f.T.Helper()
	sandbox.Eventually(f.T, func() bool {
		for _, begun := range f.listings() {
			if len(begun) < n {
				return false
			}
		}
		return len(f.listings()) == len(f.healthy)
	}, 2*f.size.interval+sandbox.Timeout, time.Second, "healthy servers are not listed %d times", n)
}

// listings returns the start times of the listings of each healthy server, in order.
func (f *fleet) listings() map[string][]time.Time {
	f.T.Helper()
	rows, err := f.db.Query(f.Ctx, `SELECT server_uuid::text, started_at FROM scans WHERE error IS NULL AND finished_at IS NOT NULL ORDER BY started_at`)
	require.NoError(f.T, err)
	begun := map[string][]time.Time{}
	var server string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&server, &at}, func() error {
		if f.healthy[server] {
			begun[server] = append(begun[server], at)
		}
		return nil
	})
	require.NoError(f.T, err)
	return begun
}

// requireCauses checks that silent servers are shown with the cause.
func (f *fleet) requireCauses() {
	f.T.Helper()
	sandbox.Eventually(f.T, func() bool {
		for id := range f.silent {
			server, err := f.Store.Server(f.Ctx, id)
			require.NoError(f.T, err)
			if server.LastError == "" {
				return false
			}
		}
		return true
	}, 4*time.Minute, time.Second, "silent servers have no cause on record")
	for id := range f.silent {
		server, err := f.Store.Server(f.Ctx, id)
		require.NoError(f.T, err)
		assert.Contains(f.T, strings.ToLower(server.LastError), server.Name)
	}
}
