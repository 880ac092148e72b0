package activities

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"stevedore/internal/ingest"
)

const (
	// maxStarts bounds concurrent starts of workflows; a start waits some milliseconds
	// for Temporal.
	maxStarts = 16
	// reserveBatch bounds the slots reserved by one transaction.
	reserveBatch = 64
	// pollSoon and pollLate bound the interval between polls for free slots and ready
	// files. Files that end in this process wake the dispatcher immediately; polling
	// finds those of other workers.
	pollSoon = 200 * time.Millisecond
	pollLate = time.Second
	// pollWaiting is the interval between attempts to start a file whose previous
	// workflow is ending.
	pollWaiting = 50 * time.Millisecond
	// pollTroubled is the interval between starts of files of a troubled server: about
	// twenty a minute.
	pollTroubled = 3 * time.Second
	// orphanCheck is the interval between checks for slots without a workflow.
	orphanCheck = 15 * time.Second
)

// DispatchFilesInput names the server whose ready files are started.
type DispatchFilesInput struct {
	ServerUUID string `json:"server_uuid"`
}

// DispatchFilesResult is returned once no slot is in use and no file may be started
// now.
type DispatchFilesResult struct {
	// Started counts the started workflows.
	Started int64 `json:"started"`
	// DeferredFor is the time until the first deferred file is due; 0 means none.
	DeferredFor time.Duration `json:"deferred_for,omitempty"`
	// Halt is set when the server is paused or suspended.
	Halt
}

// DispatchFiles starts a FileIngest for each ready file of the server, within its
// concurrency limit. It returns when all of them have released their slots. It reserves
// slots in the ledger before it starts workflows. So the limit holds across all workers,
// and the dispatcher after a crash finds the reserved slots. A dispatcher that was
// replaced is fenced and can reserve no slots.
func (a *Activities) DispatchFiles(ctx context.Context, in DispatchFilesInput) (DispatchFilesResult, error) {
	fence, err := a.Slots.RegisterDispatcher(ctx, in.ServerUUID)
	if ingest.IsKind(err, ingest.KindMissing) {
		return DispatchFilesResult{Halt: Halt{Paused: true}}, nil // removed
	}
	if err != nil {
		return DispatchFilesResult{}, applicationError(err)
	}
	wake, forget := a.released.subscribe(in.ServerUUID)
	defer forget()
	d := &dispatcher{Activities: a, serverUUID: in.ServerUUID, fence: fence, wake: wake}
	ctx, stop := startHeartbeat(ctx, d.heartbeatDetails)
	defer stop()
	err = d.run(ctx)
	if context.Cause(ctx) == ingest.ErrStopped { //nolint:errorlint // the cause is never wrapped
		err = ingest.ErrStopped
	}
	return d.result, applicationError(err)
}

// DispatchProgress is the heartbeat of a dispatcher.
type DispatchProgress struct {
	// InFlight is the number of the server's slots in use; Limit bounds it.
	InFlight int `json:"in_flight"`
	Limit    int `json:"limit"`
	// Started counts the workflows started by this attempt.
	Started int64 `json:"started"`
}

// dispatcher is one attempt of DispatchFiles.
type dispatcher struct {
	*Activities
	serverUUID string
	fence      int64
	wake       <-chan struct{}
	result     DispatchFilesResult
	// progress is read by the goroutine that heartbeats.
	progress atomic.Pointer[DispatchProgress]
	// waiting are the slots of files whose previous workflow has not ended yet.
	waiting []ingest.Slot
	// lastPaced is the time of the last reservation for a troubled server; zero if the
	// server is not troubled.
	lastPaced time.Time
	// checked is the time of the last check for slots without a workflow; zero before.
	checked time.Time
}

func (d *dispatcher) run(ctx context.Context) error {
	for pause := pollSoon; ; {
		got, err := d.reserve(ctx)
		if err != nil {
			return err
		}
		if err := d.startWaiting(ctx, got.Server); err != nil {
			return err
		}
		if err := d.start(ctx, got.Server, got.Slots); err != nil {
			return err
		}
		d.progress.Store(&DispatchProgress{InFlight: got.InUse, Limit: got.Server.MaxParallel, Started: d.result.Started})
		if dispatchDone(got) {
			d.result.DeferredFor = got.DeferredFor
			d.result.Halt = haltOf(got.Server)
			return nil
		}
		if err := d.adopt(ctx, got.Server); err != nil {
			return err
		}
		if len(got.Slots) > 0 {
			pause = pollSoon
		}
		if len(d.waiting) > 0 {
			pause = pollWaiting
		}
		if pause, err = d.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// reserve reserves slots. For a troubled server it reserves one at a time, with pauses:
// attempts that fail immediately would cause hundreds of logins a minute.
func (d *dispatcher) reserve(ctx context.Context) (ingest.Reservation, error) {
	limit := reserveBatch
	if d.paced() {
		limit = 0
	}
	got, err := d.Slots.ReserveSlots(ctx, d.serverUUID, d.fence, limit)
	switch {
	case !got.Troubled:
		d.lastPaced = time.Time{}
	case len(got.Slots) > 0:
		d.lastPaced = time.Now()
	}
	return got, err
}

// dispatchDone reports whether nothing is in flight and no file may be started soon.
func dispatchDone(got ingest.Reservation) bool {
	return got.InUse == 0 && (!got.Waiting || haltOf(got.Server) != Halt{})
}

// paced reports whether the next file of a troubled server must still wait.
func (d *dispatcher) paced() bool { return time.Since(d.lastPaced) < pollTroubled }

// wait returns the next pause when a slot may have been released.
func (d *dispatcher) wait(ctx context.Context, pause time.Duration) (time.Duration, error) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-d.wake:
		return pollSoon, nil
	case <-timer.C:
		return min(2*pause, pollLate), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// start starts workflows for slots. If one cannot be started the attempt ends, and the
// next one finds its slot. A file whose previous workflow is still ending is retried.
func (d *dispatcher) start(ctx context.Context, server ingest.Server, slots []ingest.Slot) error {
	var mu sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxStarts)
	for _, slot := range slots {
		group.Go(func() error {
			started, err := d.Workflows.StartIngest(ctx, server, slot)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
			case started:
				d.result.Started++
			default:
				d.waiting = append(d.waiting, slot)
			}
			return err
		})
	}
	return group.Wait()
}

// startWaiting retries the starts that found the previous workflow still open, unless
// the file has lost its slot.
func (d *dispatcher) startWaiting(ctx context.Context, server ingest.Server) error {
	if len(d.waiting) == 0 {
		return nil
	}
	now, err := d.Slots.Slots(ctx, d.serverUUID)
	if err != nil {
		return err
	}
	held := make(map[int64]bool, len(now))
	for _, slot := range now {
		held[slot.Number] = true
	}
	waiting := slices.DeleteFunc(d.waiting, func(slot ingest.Slot) bool { return !held[slot.Number] })
	d.waiting = nil
	return d.start(ctx, server, waiting)
}

// adopt finds slots without a workflow: a dispatcher crashed before it started one, or
// the workflow was terminated. It restarts unfinished files and releases the slots of
// the others.
func (d *dispatcher) adopt(ctx context.Context, server ingest.Server) error {
	youngest := orphanCheck
	if d.checked.IsZero() {
		youngest = 0 // an earlier attempt may have crashed just now
	} else if time.Since(d.checked) < orphanCheck {
		return nil
	}
	d.checked = time.Now()
	orphans, err := d.orphans(ctx, youngest)
	if err != nil {
		return err
	}
	var restart []ingest.Slot
	for _, slot := range orphans {
		if !slot.File.Status.Terminal() && slot.File.Status != ingest.StatusError {
			restart = append(restart, slot)
			continue
		}
		if err := d.Slots.ReleaseSlot(ctx, slot.File.UUID, slot.Number); err != nil {
			return err
		}
	}
	return d.start(ctx, server, restart)
}

// orphans returns the slots of at least the given age whose files have no open
// workflow. It reads the slots twice, because a file may finish in between.
func (d *dispatcher) orphans(ctx context.Context, youngest time.Duration) (orphans []ingest.Slot, err error) {
	before, err := d.Slots.Slots(ctx, d.serverUUID)
	if err != nil || len(before) == 0 {
		return nil, err
	}
	var uuids []string
	for _, slot := range before {
		if slot.Age >= youngest {
			uuids = append(uuids, slot.File.UUID)
		}
	}
	open, err := d.Workflows.OpenIngests(ctx, uuids)
	if err != nil || len(open) == len(uuids) {
		return nil, err
	}
	now, err := d.Slots.Slots(ctx, d.serverUUID)
	for _, slot := range now {
		if slices.Contains(uuids, slot.File.UUID) && !slices.Contains(open, slot.File.UUID) {
			orphans = append(orphans, slot)
		}
	}
	return orphans, err
}

func (d *dispatcher) heartbeatDetails() any {
	if now := d.progress.Load(); now != nil {
		return *now
	}
	return DispatchProgress{}
}

func haltOf(server ingest.Server) Halt {
	return Halt{Paused: server.UUID == "" || !server.Active, Suspended: server.State == ingest.ServerSuspended}
}

// wakeups wakes subscribers of a server in this process. The zero value is ready.
// Wake-ups may be lost or spurious, so subscribers poll as well.
type wakeups struct {
	mu        sync.Mutex
	listeners map[string][]chan struct{}
}

func (h *wakeups) subscribe(serverUUID string) (hint <-chan struct{}, forget func()) {
	own := make(chan struct{}, 1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.listeners == nil {
		h.listeners = map[string][]chan struct{}{}
	}
	h.listeners[serverUUID] = append(h.listeners[serverUUID], own)
	return own, func() { h.unsubscribe(serverUUID, own) }
}

func (h *wakeups) unsubscribe(serverUUID string, own chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	removeChannel(h.listeners, serverUUID, own)
}

func (h *wakeups) wake(serverUUID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.listeners[serverUUID] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
