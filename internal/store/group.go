package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"stevedore/internal/ingest"
)

// group is a set of requests committed in one transaction, at most one per file.
type group struct {
	requests []*request
	// wait makes the transaction wait for files locked by others; otherwise it skips them.
	wait bool

	// The results of one attempt.
	rows     map[string]lockedFile
	recorded map[string]bool
	outcomes []outcome
	taken    map[int64]ingest.File
}

// commitGroup commits the requests in one transaction, retrying after transient errors, and
// sets their results. It returns the requests whose files are missing or locked (none if wait
// is set) and the number of rows added to file_deltas.
func (s *Store) commitGroup(ctx context.Context, requests []*request, wait bool) (deferred []*request, moves int64, err error) {
	op := requests[0].op()
	if len(requests) > 1 {
		op = fmt.Sprintf("record changes of %d files", len(requests))
	}
	g := &group{requests: requests, wait: wait}
	err = s.retry(ctx, op, func() error {
		return s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			return orRollback(ctx, conn, g.try(ctx, conn))
		})
	})
	if err != nil {
		return nil, 0, err
	}
	return g.finish(), g.moves(), nil
}

// try runs one transaction in two round trips: read and lock, then write and commit.
func (g *group) try(ctx context.Context, conn *pgxpool.Conn) error {
	if err := conn.SendBatch(ctx, g.lock()).Close(); err != nil {
		return err
	}
	g.evaluate()
	err := conn.SendBatch(ctx, g.write()).Close()
	if violates(err, "files_object_key") && len(g.outcomes) == 1 {
		return ingest.Wrap(ingest.KindConflict, err, "object key %q belongs to another file", *g.outcomes[0].change.Set.ObjectKey)
	}
	return err
}

// lock queues the first half of the transaction. Each statement has its own snapshot, so those
// after the lock see everything committed before it was granted.
func (g *group) lock() *pgx.Batch {
	b := &pgx.Batch{}
	b.BeginTx(readCommitted)
	b.Queue(byIndex)
	g.rows, g.recorded = make(map[string]lockedFile, len(g.requests)), nil
	uuids := make([]string, len(g.requests))
	slots := false
	var rounds facts
	var began []string
	for i, r := range g.requests {
		uuids[i] = r.id
		slots = slots || needsSlot(r.change)
		if r.change.NewRound {
			began = append(began, r.id)
			rounds.types, rounds.keys = append(rounds.types, r.facts.types[0]), append(rounds.keys, r.facts.keys[0])
		}
	}
	statement := lockFreeFiles
	if g.wait {
		statement = lockFiles
	}
	b.Queue(statement, uuids).Query(g.readRows)
	if slots {
		b.Queue(slotsOfFiles, uuids).Query(g.readSlots)
	}
	if len(began) > 0 {
		b.Queue(recordedFacts, began, rounds.types, rounds.keys).Query(g.readRecorded)
	}
	return b
}

func (g *group) readRows(rows pgx.Rows) error {
	var uuid string
	var row lockedFile
	_, err := pgx.ForEachRow(rows, []any{&row.id, &uuid, &row.server, &row.status, &row.fence, &row.round}, func() error {
		g.rows[uuid] = row
		return nil
	})
	return err
}

func (g *group) readSlots(rows pgx.Rows) error {
	var uuid string
	var slot int64
	_, err := pgx.ForEachRow(rows, []any{&uuid, &slot}, func() error {
		if row, locked := g.rows[uuid]; locked {
			row.slot = slot
			g.rows[uuid] = row
		}
		return nil
	})
	return err
}

func (g *group) readRecorded(rows pgx.Rows) error {
	uuids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	g.recorded = make(map[string]bool, len(uuids))
	for _, uuid := range uuids {
		g.recorded[uuid] = true
	}
	return err
}

// evaluate decides all requests.
func (g *group) evaluate() {
	g.outcomes = g.outcomes[:0]
	for _, r := range g.requests {
		if row, locked := g.rows[r.id]; locked {
			g.outcomes = append(g.outcomes, evaluate(r, row, g.recorded[r.id]))
		}
	}
}

// finish sets the results of a committed group and returns the requests whose files were not
// locked.
func (g *group) finish() (deferred []*request) {
	for _, o := range g.outcomes {
		o.request.err, o.request.file = o.err, g.taken[o.row.id]
	}
	for _, r := range g.requests {
		if _, locked := g.rows[r.id]; locked {
			continue
		}
		if g.wait {
			r.err = errNo("file with uuid", r.id)
		} else {
			deferred = append(deferred, r)
		}
	}
	return deferred
}

// moves returns the number of distinct status transitions per server: each is one row of
// file_deltas.
func (g *group) moves() int64 {
	type move struct {
		server   string
		from, to ingest.Status
	}
	moves := make(map[move]bool)
	for _, o := range g.outcomes {
		if to := o.change.To; to != "" && to != o.row.status {
			moves[move{o.row.server, o.row.status, to}] = true
		}
	}
	return int64(len(moves))
}
