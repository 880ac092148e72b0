package activities

import (
	"context"
	"sync"
	"time"
)

// startGateTimeout bounds how long a listing within a workflow task waits for the starts
// of a pass. With TryLimit it stays below 8 s, after which the SDK extends the workflow
// task, which adds history events.
const startGateTimeout = 4 * time.Second

// startGate delays listings while scans are started. Eager starts deliver the scans'
// workflow tasks to the process that starts them, where the listings would compete with
// the remaining starts for the processor. The zero value is open.
type startGate struct {
	mu     sync.Mutex
	passes int
	opened chan struct{} // closed when the last pass leaves
}

// enter closes the gate until leave is called.
func (g *startGate) enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passes++; g.passes == 1 {
		g.opened = make(chan struct{})
	}
	return g.leave
}

func (g *startGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passes--; g.passes == 0 {
		close(g.opened)
	}
}

// wait returns when the gate is open, after atMost, or when ctx ends.
func (g *startGate) wait(ctx context.Context, atMost time.Duration) {
	g.mu.Lock()
	passes, opened := g.passes, g.opened
	g.mu.Unlock()
	if passes == 0 {
		return
	}
	enough := time.NewTimer(atMost)
	defer enough.Stop()
	select {
	case <-opened:
	case <-enough.C:
	case <-ctx.Done():
	}
}
