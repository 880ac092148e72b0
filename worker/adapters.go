package worker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"stevedore/activities"
	"stevedore/internal/amqp"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/objstore"
	"stevedore/internal/sftp"
	"stevedore/internal/store"
	"stevedore/internal/transfer"
	"stevedore/internal/wiring"
)

// statementTimeout bounds one SQL statement of a worker. Statements normally take
// less than seconds; a stuck one must not hold locks for ever.
const statementTimeout = 2 * time.Minute

// adapters holds the open adapters of a worker.
type adapters struct {
	store   *store.Store
	sftp    *sftp.Pool
	staging *transfer.Staging
	objects *objstore.Store
	bus     *amqp.Publisher
	budget  *transfer.Budget    // bounds file contents in memory, in every mode
	ahead   *transfer.ReadAhead // bounds outstanding reads of all transfers
	direct  *transfer.Direct
	closers []func()
}

// openAdapters opens every adapter, or returns the first error. It checks the
// schema of the ledger and the keyset first: a worker that starts without them
// would only accumulate retries.
func openAdapters(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *adapters, err error) {
	w := &adapters{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.openLedger(ctx, cfg); err != nil {
		return nil, err
	}
	secrets, err := credentials.Open(cfg.Credentials.KeysetFile)
	if err != nil {
		return nil, err
	}
	damaged, err := secrets.Fits(ctx, w.store)
	if err != nil {
		return nil, err
	}
	for _, problem := range damaged {
		log.ErrorContext(ctx, "a server cannot be used", "error", problem)
	}
	w.sftp = sftp.NewPool(wiring.SFTPConfig(cfg, w.store, log), secrets)
	w.onClose(func() { _ = w.sftp.Close() })
	w.ahead = transfer.NewReadAhead(0)
	w.staging, err = transfer.Open(transfer.Config{
		Dir: cfg.Staging.Dir, ReserveBytes: cfg.Staging.ReserveBytes, ReadAhead: w.ahead, Logger: log,
	})
	if err != nil {
		return nil, err
	}
	w.onClose(func() { _ = w.staging.Close() })
	w.budget = transfer.NewBudget(cfg.Transfer.MemoryBudget)
	if err := w.openTargets(cfg); err != nil {
		return nil, err
	}
	w.direct, err = transfer.NewDirect(transfer.DirectConfig{Parts: w.objects, Budget: w.budget, ReadAhead: w.ahead, Logger: log})
	return w, err
}

func (w *adapters) openLedger(ctx context.Context, cfg config.Config) (err error) {
	w.store, err = store.New(ctx, store.Config{DatabaseURL: cfg.Database.URL.Reveal(), StatementTimeout: statementTimeout})
	if err != nil {
		return err
	}
	w.onClose(w.store.Close)
	return w.store.SchemaCurrent(ctx)
}

func (w *adapters) openTargets(cfg config.Config) (err error) {
	objects := wiring.ObjectStoreConfig(cfg)
	objects.Memory = w.budget
	w.objects, err = objstore.New(objects)
	if err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	w.onClose(w.objects.Close)
	w.bus, err = amqp.New(wiring.BrokerConfig(cfg))
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	w.onClose(func() { _ = w.bus.Close() })
	return nil
}

func (w *adapters) onClose(fn func()) { w.closers = append(w.closers, fn) }

// close closes the adapters in reverse order.
func (w *adapters) close() {
	for _, closer := range slices.Backward(w.closers) {
		closer()
	}
}

// sources adapts the SFTP pool to activities.Sources: a Go method that returns
// *sftp.Session does not implement one that returns an interface.
type sources struct{ pool *sftp.Pool }

// Open implements activities.Sources.
func (s sources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	session, err := s.pool.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	return source{session}, nil
}

// source adapts a session to activities.Source, for the same reason.
type source struct{ *sftp.Session }

// OpenFile implements activities.Source.
func (s source) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Session.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	return file, nil
}
