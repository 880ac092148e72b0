package worker

import (
	"context"
	"fmt"
	"log/slog"
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
)

// statementTimeout bounds a statement of a worker: none takes more than seconds
// unless something is wrong, and then it must not hold locks for ever.
const statementTimeout = 2 * time.Minute

// world is the adapters that a worker works with.
type world struct {
	store   *store.Store
	sftp    *sftp.Pool
	staging *transfer.Staging
	objects *objstore.Store
	bus     *amqp.Publisher
	budget  *transfer.Budget    // for the bytes of files in memory, whatever the mode
	ahead   *transfer.ReadAhead // for the outstanding reads of all transfers
	direct  *transfer.Direct
	closers []func()
}

// openWorld opens every adapter. What is wrong with any of them is one error
// that says what to do; the store's schema and the bucket are looked at first,
// because a worker without them would only pile up retries.
func openWorld(ctx context.Context, cfg config.Config, log *slog.Logger) (_ *world, err error) {
	w := &world{}
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
	if err := secrets.Fits(ctx, w.store); err != nil {
		return nil, err
	}
	w.sftp = sftp.NewPool(sftp.Config{AllowNetworks: cfg.SFTP.AllowNetworks, Passwords: w.store, Connections: w.store, Directory: w.store, Log: log}, secrets)
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

func (w *world) openLedger(ctx context.Context, cfg config.Config) (err error) {
	w.store, err = store.New(ctx, store.Config{DatabaseURL: cfg.Database.URL.Reveal(), StatementTimeout: statementTimeout})
	if err != nil {
		return err
	}
	w.onClose(w.store.Close)
	return w.store.SchemaCurrent(ctx)
}

func (w *world) openTargets(cfg config.Config) (err error) {
	w.objects, err = objstore.New(objstore.Config{
		Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey.Reveal(),
		Bucket: cfg.S3.Bucket, Region: cfg.S3.Region, UseTLS: cfg.S3.UseTLS, Memory: w.budget,
	})
	if err != nil {
		return fmt.Errorf("object store: %w", err)
	}
	w.onClose(w.objects.Close)
	w.bus, err = amqp.New(amqp.Config{
		URL: cfg.AMQP.URL.Reveal(), Exchange: cfg.AMQP.Exchange, RoutingKey: cfg.AMQP.RoutingKey, Queue: cfg.AMQP.Queue,
	})
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	w.onClose(func() { _ = w.bus.Close() })
	return nil
}

func (w *world) onClose(fn func()) { w.closers = append(w.closers, fn) }

// close closes what was opened, last first.
func (w *world) close() {
	for i := len(w.closers) - 1; i >= 0; i-- {
		w.closers[i]()
	}
}

// sources fits the SFTP pool to the activities: Go does not let a method that
// returns *sftp.Session stand for one that returns an interface.
type sources struct{ pool *sftp.Pool }

// Open implements activities.Sources.
func (s sources) Open(ctx context.Context, server ingest.Server) (activities.Source, error) {
	session, err := s.pool.Open(ctx, server)
	if err != nil {
		return nil, err
	}
	return source{session}, nil
}

// source fits a session likewise.
type source struct{ *sftp.Session }

// OpenFile implements activities.Source.
func (s source) OpenFile(ctx context.Context, path string) (activities.RemoteFile, error) {
	file, err := s.Session.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	return file, nil
}
