package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"stevedore/internal/ingest"
)

// OnPool returns a store on connections of the test's making.
func OnPool(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Fold adds changes to the totals.
func (s *Store) Fold(ctx context.Context) error { return s.fold(ctx) }

// Together commits the changes as one group, takes where From is not nil, and
// returns the error of each.
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

// Submit queues the change, and sends its error to the channel.
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

// MaxGroup is the most requests of a group.
const MaxGroup = maxGroup

// The bounds of what a page and a count look at.
const (
	PageLooks     = pageScan
	CountLooks    = countScan
	MaxCandidates = maxCandidates
	MaxSpread     = maxSpread
)

// Literals is what paths and names begin with that fit a glob.
var Literals = literals

const readyFiles = `SELECT ` + fileColumns + fromFiles + `
WHERE (` + isFresh + ` OR ` + isDue + `) AND f.file_uuid <> ALL ($2::text[]::uuid[])
ORDER BY coalesce(f.not_before, f.created_at), f.id LIMIT $3`

// NextDeferred returns the time until the first deferred file of the server may
// be started; 0 when there is none.
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

// ReadyFiles returns the ready files that have waited longest, at most limit,
// without those that are excluded, deferred, or hold a slot. A deferred file
// waits from the end of its deferral, so that files that fail again and again do
// not keep others from their turn.
func (s *Store) ReadyFiles(ctx context.Context, serverUUID string, exclude []string, limit int) ([]ingest.File, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || limit <= 0 {
		return nil, err
	}
	return s.manyFiles(ctx, "list ready files", readyFiles, id, nonNil(exclude), limit)
}
