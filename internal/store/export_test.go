package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"stevedore/internal/ingest"
)

// OnPool returns a store on the given pool.
func OnPool(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Account returns the digest by which reservations of an account exclude each other.
func Account(server ingest.Server) []byte { return account(server) }

// Fold folds the deltas.
func (s *Store) Fold(ctx context.Context) error { return s.fold(ctx) }

// Together commits the changes as one group and returns the error of each. A change with a From
// is a claim.
func (s *Store) Together(ctx context.Context, changes ...ingest.Change) (errs []error) {
	var requests []*request
	for _, change := range changes {
		r, err := newRequest(ctx, change, change.From != nil)
		if err != nil {
			panic(err)
		}
		requests = append(requests, r)
	}
	s.commitTogether(ctx, requests)
	for _, r := range requests {
		<-r.done
		errs = append(errs, r.err)
	}
	return errs
}

// Submit queues the change and sends its error to the channel.
func (s *Store) Submit(change ingest.Change, result chan<- error) {
	r, err := newRequest(context.Background(), change, false)
	if err == nil {
		err = s.submit(r)
	}
	if err != nil {
		panic(err)
	}
	go func() {
		<-r.done
		result <- r.err
	}()
}

// MaxGroup is the maximum number of requests in a group.
const MaxGroup = maxGroup

// The limits of pages and counts.
const (
	PageScan      = pageScan
	CountScan     = countScan
	MaxCandidates = maxCandidates
	MaxSpread     = maxSpread
)

// Literals returns the literal prefixes of a glob.
var Literals = literals

const readyFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE (` + isFresh + ` OR ` + isDue + `) AND f.file_uuid <> ALL ($2::text[]::uuid[])
ORDER BY coalesce(f.not_before, f.created_at), f.id LIMIT $3`

// NextDeferred returns the time until the server's first deferred file is due; 0 if there is
// none.
func (s *Store) NextDeferred(ctx context.Context, serverUUID string) (in time.Duration, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return 0, err
	}
	var until *float64
	err = s.retry(ctx, "look for deferred files", func() error {
		return s.pool.QueryRow(ctx, `SELECT (`+untilDeferred+`)`, id).Scan(&until)
	})
	return waitFor(until), err
}

// ReadyFiles returns at most limit ready files, oldest first, without those excluded, deferred,
// or with a slot. A deferred file counts from the end of its deferral, so that repeated
// failures do not delay others.
func (s *Store) ReadyFiles(ctx context.Context, serverUUID string, exclude []string, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list ready files", readyFiles, id, nonNil(exclude), limit)
}
