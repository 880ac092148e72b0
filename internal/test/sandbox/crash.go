package sandbox

import (
	"context"
	"os"
	"slices"
	"syscall"

	"stevedore/activities"
	"stevedore/internal/ingest"
)

// CrashPointsOf returns the crash points of the mode: before and after every external
// effect of a file. "After" the last effect of a step is before Temporal records its
// completion.
func CrashPointsOf(mode ingest.Mode) (points []string) {
	steps := map[ingest.Mode][]string{
		ingest.ModeMemory: {"ledger downloading", "put", "ledger uploaded"},
		ingest.ModeStaged: {
			"reserve", "ledger downloading", "fetch", "ledger downloaded", "ledger verified", "ledger uploading", "put", "ledger uploaded", "discard",
		},
		ingest.ModeDirect: {"ledger downloading", "begin upload", "save transfer", "complete upload", "ledger uploaded"},
	}
	for _, name := range slices.Concat(
		[]string{"observe", "promote", "finish scan", "reserve slots", "start ingest"},
		steps[mode],
		[]string{"publish", "ledger completed", "rename", "remove"},
		// A failure, retry by an operator, and a vanished file.
		[]string{"ledger error", "ledger ready", "ledger vanished"},
	) {
		points = append(points, "before "+name, "after "+name)
	}
	return points
}

// crashPoint kills the process when it is reached.
type crashPoint string

// at kills the process if point is the crash point.
func (c crashPoint) at(point string) {
	if string(c) == point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // do nothing until the signal arrives
	}
}

// around calls fn between the points before and after it. A failed call does not reach
// the point after it, because the fault under test is the loss of a success.
func around[T any](c crashPoint, name string, fn func() (T, error)) (T, error) {
	c.at("before " + name)
	result, err := fn()
	if err == nil {
		c.at("after " + name)
	}
	return result, err
}

func aroundErr(c crashPoint, name string, fn func() error) error {
	_, err := around(c, name, func() (struct{}, error) { return struct{}{}, fn() })
	return err
}

// crashAt returns a wrapper of dependencies that kills the process at the point, or nil
// for "".
func crashAt(point string) func(activities.Deps) activities.Deps {
	if point == "" {
		return nil
	}
	c := crashPoint(point)
	return func(d activities.Deps) activities.Deps {
		d.Ledger = crashLedger{d.Ledger, c}
		d.Catalog = crashCatalog{d.Catalog, c}
		d.Slots = crashSlots{d.Slots, c}
		d.Workflows = crashWorkflows{d.Workflows, c}
		d.Sources = crashSources{d.Sources, c}
		d.Staging = crashStaging{d.Staging, c}
		d.Objects = crashObjects{d.Objects, c}
		d.Publisher = crashPublisher{d.Publisher, c}
		d.Direct.Objects = crashDirect{d.Direct.Objects, c}
		d.Direct.Transfers = crashTransfers{d.Direct.Transfers, c}
		return d
	}
}

type crashLedger struct {
	activities.Ledger
	c crashPoint
}

// Apply implements its interface with crash points.
func (l crashLedger) Apply(ctx context.Context, change ingest.Change) error {
	return aroundErr(l.c, "ledger "+string(change.To), func() error { return l.Ledger.Apply(ctx, change) })
}

// ClaimAndApply implements its interface with crash points.
func (l crashLedger) ClaimAndApply(ctx context.Context, change ingest.Change) (ingest.File, error) {
	return around(l.c, "ledger "+string(change.To), func() (ingest.File, error) { return l.Ledger.ClaimAndApply(ctx, change) })
}

type crashSlots struct {
	activities.Reservations
	c crashPoint
}

// ReserveSlots is a crash point if it reserves a slot.
func (s crashSlots) ReserveSlots(ctx context.Context, serverUUID string, fence int64, limit int) (ingest.Reservation, error) {
	s.c.at("before reserve slots")
	got, err := s.Reservations.ReserveSlots(ctx, serverUUID, fence, limit)
	if err == nil && len(got.Slots) > 0 {
		s.c.at("after reserve slots")
	}
	return got, err
}

type crashWorkflows struct {
	activities.Workflows
	c crashPoint
}

// StartIngest implements its interface with crash points.
func (w crashWorkflows) StartIngest(ctx context.Context, server ingest.Server, slot ingest.Slot) (bool, error) {
	return around(w.c, "start ingest", func() (bool, error) { return w.Workflows.StartIngest(ctx, server, slot) })
}

type crashCatalog struct {
	activities.Catalog
	c crashPoint
}

// Observe implements its interface with crash points.
func (k crashCatalog) Observe(ctx context.Context, server, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	return around(k.c, "observe", func() (ingest.ScanCounts, error) { return k.Catalog.Observe(ctx, server, source, seen) })
}

// Promote implements its interface with crash points.
func (k crashCatalog) Promote(ctx context.Context, server ingest.Server) (promoted, settling int64, err error) {
	err = aroundErr(k.c, "promote", func() error {
		promoted, settling, err = k.Catalog.Promote(ctx, server)
		return err
	})
	return promoted, settling, err
}

// FinishScan implements its interface with crash points.
func (k crashCatalog) FinishScan(ctx context.Context, scan ingest.ScanResult) error {
	return aroundErr(k.c, "finish scan", func() error { return k.Catalog.FinishScan(ctx, scan) })
}

type crashStaging struct {
	activities.Staging
	c crashPoint
}

// Reserve implements its interface with crash points.
func (s crashStaging) Reserve(ctx context.Context, file string, size int64) error {
	return aroundErr(s.c, "reserve", func() error { return s.Staging.Reserve(ctx, file, size) })
}

// Fetch implements its interface with crash points.
func (s crashStaging) Fetch(ctx context.Context, req ingest.Fetch) (ingest.Staged, error) {
	return around(s.c, "fetch", func() (ingest.Staged, error) { return s.Staging.Fetch(ctx, req) })
}

// Digests implements its interface with crash points.
func (s crashStaging) Digests(ctx context.Context, file string, progress func(int64), algos ...string) (size int64, digests map[string]string, err error) {
	err = aroundErr(s.c, "digests", func() error {
		size, digests, err = s.Staging.Digests(ctx, file, progress, algos...)
		return err
	})
	return size, digests, err
}

// Discard implements its interface with crash points.
func (s crashStaging) Discard(file string) error {
	return aroundErr(s.c, "discard", func() error { return s.Staging.Discard(file) })
}

type crashObjects struct {
	activities.Objects
	c crashPoint
}

// Put implements its interface with crash points.
func (o crashObjects) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	return around(o.c, "put", func() (ingest.Object, error) { return o.Objects.Put(ctx, req) })
}

// PutBytes implements its interface with crash points.
func (o crashObjects) PutBytes(ctx context.Context, req ingest.PutBytes) (ingest.Object, error) {
	return around(o.c, "put", func() (ingest.Object, error) { return o.Objects.PutBytes(ctx, req) })
}

type crashPublisher struct {
	activities.Publisher
	c crashPoint
}

// Publish implements its interface with crash points.
func (a crashPublisher) Publish(ctx context.Context, m ingest.Notification) (ingest.Receipt, error) {
	return around(a.c, "publish", func() (ingest.Receipt, error) { return a.Publisher.Publish(ctx, m) })
}

type crashSources struct {
	activities.Sources
	c crashPoint
}

// Open implements its interface with crash points.
func (s crashSources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	return crashSource{source, s.c}, nil
}

type crashSource struct {
	activities.Source
	c crashPoint
}

// Rename implements its interface with crash points.
func (s crashSource) Rename(ctx context.Context, from, to string) error {
	return aroundErr(s.c, "rename", func() error { return s.Source.Rename(ctx, from, to) })
}

// Remove implements its interface with crash points.
func (s crashSource) Remove(ctx context.Context, path string) error {
	return aroundErr(s.c, "remove", func() error { return s.Source.Remove(ctx, path) })
}

type crashDirect struct {
	activities.DirectObjects
	c crashPoint
}

// BeginUpload implements its interface with crash points.
func (d crashDirect) BeginUpload(ctx context.Context, key string, metadata map[string]string) (string, error) {
	return around(d.c, "begin upload", func() (string, error) { return d.DirectObjects.BeginUpload(ctx, key, metadata) })
}

// CompleteUpload implements its interface with crash points.
func (d crashDirect) CompleteUpload(ctx context.Context, req ingest.CompleteUpload) (ingest.Object, error) {
	return around(d.c, "complete upload", func() (ingest.Object, error) { return d.DirectObjects.CompleteUpload(ctx, req) })
}

type crashTransfers struct {
	activities.Transfers
	c crashPoint
}

// SaveTransfer implements its interface with crash points.
func (t crashTransfers) SaveTransfer(ctx context.Context, file string, fence int64, cp ingest.TransferCheckpoint) error {
	return aroundErr(t.c, "save transfer", func() error { return t.Transfers.SaveTransfer(ctx, file, fence, cp) })
}
