package worker

import (
	"context"
	"sync/atomic"

	"stevedore/activities"
	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

// metered wraps the ledger and the sources with counters.
func metered(d activities.Deps, metrics *telemetry.Worker) activities.Deps {
	d.Ledger = meteredLedger{d.Ledger, metrics}
	d.Sources = meteredSources{d.Sources, metrics}
	return d
}

// claimed holds the file that an attempt has claimed. Counters need its server and
// mode, which an ingest.Change does not contain.
type claimed struct{ file atomic.Pointer[ingest.File] }

type claimedKey struct{}

// withClaim returns a context that holds the claim of one attempt.
func withClaim(ctx context.Context) context.Context {
	return context.WithValue(ctx, claimedKey{}, &claimed{})
}

// meteredLedger counts stored and completed files.
type meteredLedger struct {
	activities.Ledger
	metrics *telemetry.Worker
}

// Claim implements activities.Ledger.
func (l meteredLedger) Claim(ctx context.Context, fileUUID string) (ingest.File, error) {
	file, err := l.Ledger.Claim(ctx, fileUUID)
	return keepClaim(ctx, file, err)
}

// ClaimAndApply implements activities.Ledger.
func (l meteredLedger) ClaimAndApply(ctx context.Context, change ingest.Change) (ingest.File, error) {
	file, err := l.Ledger.ClaimAndApply(ctx, change)
	return keepClaim(ctx, file, err)
}

func keepClaim(ctx context.Context, file ingest.File, err error) (ingest.File, error) {
	if attempt, ok := ctx.Value(claimedKey{}).(*claimed); ok && err == nil {
		attempt.file.Store(&file)
	}
	return file, err
}

// Apply implements activities.Ledger.
func (l meteredLedger) Apply(ctx context.Context, change ingest.Change) error {
	err := l.Ledger.Apply(ctx, change)
	attempt, ok := ctx.Value(claimedKey{}).(*claimed)
	if err != nil || !ok {
		return err
	}
	switch file := attempt.file.Load(); {
	case file == nil:
	case change.To == ingest.StatusUploaded:
		l.metrics.Transferred(string(file.Mode))
		l.metrics.Uploaded(file.ServerName, file.Size)
	case change.To == ingest.StatusCompleted:
		l.metrics.Completed(file.ServerName)
	}
	return nil
}

// meteredSources counts received bytes.
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
