package faults_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
)

// shortHostTimeout shortens the timeouts after which the files of a silent host are taken over.
const shortHostTimeout = "STEVEDORE_WORKER_HOST_TIMEOUT=5s"

// TestFault58_AZombieChangesNothing: a worker is suspended beyond its heartbeat timeout,
// another one takes over and finishes, and the first is resumed.
func TestFault58_AZombieChangesNothing(t *testing.T) {
	t.Parallel()
	t.Run("in a download", func(t *testing.T) {
		t.Parallel()
		h := sandbox.NewCluster(t)
		acme, proxy := slowServer(t, h, "acme", 2<<10)
		acme.Write(t, "a.bin", sandbox.Random(24<<20))
		zombie := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout}})
		scan := h.Scan(t)
		awaitStaged(t, h.Cfg.Staging.Dir, 4<<20)
		zombie.Signal(syscall.SIGSTOP)
		proxy.RemoveToxic(t, "bandwidth")
		variable, _ := staging(t, h)
		h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout, variable}})
		h.AwaitScans(t, scan)
		requireHarmless(t, h, zombie, acme)
	})
	// Any worker may publish, also two concurrently.
	t.Run("in a notification", func(t *testing.T) {
		t.Parallel()
		h := sandbox.NewCluster(t)
		reached, release := make(chan struct{}), make(chan struct{})
		_, amqp := newCuttingBrokerProxy(t, h, func(n int32) cutPosition {
			if n == 1 {
				close(reached)
				<-release
			}
			return pass
		})
		acme := h.AddServer(t, "acme", nil)
		acme.Write(t, "a.bin", sandbox.Random(1000))
		zombie := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout, "STEVEDORE_AMQP_URL=" + amqp}})
		scan := h.Scan(t)
		await(t, reached, "no notification is published")
		zombie.Signal(syscall.SIGSTOP)
		variable, _ := staging(t, h)
		h.StartProcess(t, sandbox.ProcessOptions{Env: []string{shortHostTimeout, variable}})
		h.Completed(t, acme.Path("a.bin"))
		close(release) // the suspended worker's request arrives in the end
		sandbox.Eventually(t, func() bool { return queued(t, h) == 2 }, sandbox.Timeout, tick, "the suspended worker does not publish its message")
		h.AwaitScans(t, scan)
		requireHarmless(t, h, zombie, acme)
	})
}

// TestFault40_TwoWorkerProcesses: a worker is suspended during the request that creates
// the object, and a worker on another host sends the same request for the same key. The
// store receives both concurrently, and the first worker is resumed.
func TestFault40_TwoWorkerProcesses(t *testing.T) {
	chaosOnly(t)
	t.Parallel()
	for name, size := range sizes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := sandbox.NewCluster(t)
			proxy := newStoreProxy(t, h)
			first, both := make(chan struct{}), make(chan struct{})
			creations := make(chan struct{}, 2)
			proxy.inject(func(_ http.ResponseWriter, r *http.Request) bool {
				if creates(r) {
					select {
					case creations <- struct{}{}:
						if len(creations) == 1 {
							close(first)
						} else {
							close(both)
						}
						<-both
					default: // later ones pass
					}
				}
				return false
			}, nil)
			acme := h.AddServer(t, "acme", nil)
			acme.Write(t, "a.bin", sandbox.Random(size))
			env := []string{shortHostTimeout, "STEVEDORE_S3_ENDPOINT=" + proxy.Address}
			zombie := h.StartProcess(t, sandbox.ProcessOptions{Env: env})
			scan := h.Scan(t)
			await(t, first, "no upload starts")
			zombie.Signal(syscall.SIGSTOP)
			began := time.Now()
			variable, _ := staging(t, h)
			h.StartProcess(t, sandbox.ProcessOptions{Env: append(env, variable)})
			h.AwaitScans(t, scan)
			figure(t, "fault 40 %s: another host had stored the object %s after the first was frozen", name, seconds(time.Since(began)))
			requireHarmless(t, h, zombie, acme)
			// Unsent bytes of the first worker arrive after it is resumed.
			assert.Positive(t, proxy.refused("PreconditionFailed")+proxy.refused("NoSuchUpload"), "neither request was refused")
		})
	}
}

// requireHarmless resumes a suspended worker whose file another worker has finished. It
// must give up and leave nothing behind.
func requireHarmless(t *testing.T, h *sandbox.Cluster, zombie *sandbox.Process, acme *services.SSHD) {
	t.Helper()
	file := h.Completed(t, acme.Path("a.bin"))
	h.AwaitIngest(t, file.UUID)
	assert.Equal(t, ingest.StatusCompleted, file.Status)
	events := h.Events(t, file.UUID)
	zombie.Signal(syscall.SIGCONT)
	sandbox.Eventually(t, func() bool { return h.Reconcile(t).HostsSilent == 0 && largestStaged(h.Cfg.Staging.Dir) == 0 },
		sandbox.Timeout, time.Second, "the suspended worker keeps its staged bytes")
	assert.Equal(t, events, h.Events(t, file.UUID))
	h.RequireExactlyOnce(t)
}
