package worker

import (
	"context"
	"sync/atomic"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

// metered returns the parts with counters around those that move files.
func metered(d activities.Deps, metrics *telemetry.Worker) activities.Deps {
	d.Ledger = meteredLedger{d.Ledger, metrics}
	d.Sources = meteredSources{d.Sources, metrics}
	d.Objects = meteredObjects{d.Objects, metrics}
	return d
}

// claimed is where an attempt keeps the name of the server of the file that it
// has claimed: a change of the file does not say it.
type claimed struct{ server atomic.Pointer[string] }

type claimedKey struct{}

// withClaim returns the context of one attempt.
func withClaim(ctx context.Context) context.Context {
	return context.WithValue(ctx, claimedKey{}, &claimed{})
}

// meteredLedger counts files as they are completed.
type meteredLedger struct {
	activities.Ledger
	metrics *telemetry.Worker
}

// Claim implements activities.Ledger.
func (l meteredLedger) Claim(ctx context.Context, fileUUID string) (ingest.File, error) {
	file, err := l.Ledger.Claim(ctx, fileUUID)
	if attempt, ok := ctx.Value(claimedKey{}).(*claimed); ok && err == nil {
		attempt.server.Store(&file.ServerName)
	}
	return file, err
}

// Apply implements activities.Ledger.
func (l meteredLedger) Apply(ctx context.Context, change ingest.Change) error {
	err := l.Ledger.Apply(ctx, change)
	if err != nil || change.To != ingest.StatusCompleted {
		return err
	}
	if attempt, ok := ctx.Value(claimedKey{}).(*claimed); ok {
		if server := attempt.server.Load(); server != nil {
			l.metrics.Completed(*server)
		}
	}
	return nil
}

// meteredSources counts the bytes that are received.
type meteredSources struct {
	activities.Sources
	metrics *telemetry.Worker
}

// Open implements activities.Sources.
func (s meteredSources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	source, err := s.Sources.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	return meteredSource{source, s.metrics.Downloaded(server.Name)}, nil
}

type meteredSource struct {
	activities.Source
	received func(bytes int)
}

// OpenFile implements activities.Source.
func (s meteredSource) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Source.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	return meteredFile{file, s.received}, nil
}

type meteredFile struct {
	activities.RemoteFile
	received func(bytes int)
}

// ReadAt implements io.ReaderAt.
func (f meteredFile) ReadAt(p []byte, offset int64) (int, error) {
	n, err := f.RemoteFile.ReadAt(p, offset)
	f.received(n)
	return n, err
}

// meteredObjects counts what is stored.
type meteredObjects struct {
	activities.Objects
	metrics *telemetry.Worker
}

// Put implements activities.Objects.
func (o meteredObjects) Put(ctx context.Context, req ingest.Put) (ingest.Object, error) {
	object, err := o.Objects.Put(ctx, req)
	if err == nil {
		o.metrics.Uploaded(req.Metadata["server"], req.Size)
	}
	return object, err
}
