package store

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// Observe records what a listing or stat of the server saw, in one
// transaction; source goes into the discovered events. It counts the
// observations and the rows they made: New and Rejected. Observing the same
// again makes no further rows. Listings of one server take turns, so that two
// at once leave what one would have. A listing without changes is only read: it
// waits for no lock and writes nothing, not even for a server that was removed.
//
// A transaction that was repeated because its commit got no answer may count
// rows of the lost try as known.
func (s *Store) Observe(ctx context.Context, serverUUID, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	counts := ingest.ScanCounts{Seen: int64(len(seen))}
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(seen) == 0 {
		return counts, err
	}
	entries := distinct(seen)
	news, err := s.changesOf(ctx, id, source, entries)
	counts.Same = news.same
	if err != nil || news.empty() {
		counts.Rejected = news.unrecorded
		return counts, err
	}
	var moved int64
	err = s.inTx(ctx, "record what the server shows", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, id); err != nil {
			return err
		}
		// Another listing may have recorded the same before it released the lock.
		what, err := compare(ctx, tx, id, source, entries)
		if err != nil {
			return err
		}
		if err := what.judgeCompanions(ctx, tx, id); err != nil {
			return err
		}
		moved = int64(len(what.supersede) + len(what.revive) + len(what.relapse))
		made, err := what.write(ctx, tx, id, cleanText(source))
		counts.New, counts.Rejected = made.New, made.Rejected
		return err
	})
	if err == nil {
		s.changed(ctx, moved)
	}
	return counts, err
}

// changesOf returns in what the ledger differs from what was seen.
func (s *Store) changesOf(ctx context.Context, serverUUID, source string, entries []entry) (news plan, err error) {
	err = s.retry(ctx, "compare what the server shows", func() error {
		news, err = compare(ctx, s.pool, serverUUID, source, entries)
		return err
	})
	return news, err
}

// sourceRecheck is the source of looks at single files, which count more than
// what listings show.
const sourceRecheck = "recheck"

const observeRules = `SELECT options, statement_timestamp() FROM sftp_servers WHERE server_uuid = $1`

// compare says what is to be done about what was seen.
func compare(ctx context.Context, db querier, serverUUID, source string, entries []entry) (plan, error) {
	rows, err := db.Query(ctx, observeRules, serverUUID)
	if err != nil {
		return plan{}, err
	}
	var options ingest.Options
	r := rules{look: source == sourceRecheck}
	if _, err = pgx.ForEachRow(rows, []any{&options, &r.now}, func() error { return nil }); err != nil {
		return plan{}, err
	}
	r.identity, r.resent, r.never = options.Identity, options.Resent, options.HoldChanges < 0
	known, err := knownRows(ctx, db, serverUUID, entries)
	if err != nil {
		return plan{}, err
	}
	return decide(r, entries, known), nil
}

// The lock makes listings of one server take turns; rows that refer to the
// server can still be written.
const lockServer = `SELECT removed_at IS NULL FROM sftp_servers WHERE server_uuid = $1 FOR NO KEY UPDATE`

func lockServerRow(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	return serverThere(tx.QueryRow(ctx, lockServer, serverUUID), serverUUID)
}

// serverThere reads the answer to lockServer.
func serverThere(row pgx.Row, serverUUID string) error {
	var there bool
	err := row.Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNo("server with uuid", serverUUID)
	}
	if err == nil && !there {
		return ingest.Errorf(ingest.KindConflict, "server %s has been removed: nothing more is recorded of it", serverUUID)
	}
	return err
}

// write carries the plan out. What stands aside goes first, because a path may
// have one settling version only.
func (p plan) write(ctx context.Context, tx pgx.Tx, serverUUID, source string) (made ingest.ScanCounts, err error) {
	for _, step := range []struct {
		statement string
		rows      []entry
		args      []any
	}{
		{statement: supersedeRows, rows: p.supersede},
		{statement: touchRows, rows: p.touch, args: []any{p.look}},
		{statement: regrowRows, rows: p.regrow, args: []any{p.look}},
		{statement: relapseRows, rows: p.relapse, args: []any{source}},
		{statement: reviveRows, rows: p.revive, args: []any{source}},
		{statement: aliasRows, rows: p.alias},
		{statement: resendRows, rows: p.resend},
	} {
		if len(step.rows) == 0 {
			continue
		}
		args := slices.Concat(columnsOf(serverUUID, step.rows).args(), step.args)
		if _, err := tx.Exec(ctx, step.statement, args...); err != nil {
			return made, err
		}
	}
	insert, dropped, err := withinLimit(ctx, tx, serverUUID, ingest.MaxRejected, p.insert)
	if made.Rejected = p.unrecorded + dropped; err != nil || len(insert) == 0 {
		return made, err
	}
	c := columnsOf(serverUUID, insert)
	args := slices.Concat([]any{serverUUID, source, c.paths, c.displays, c.filenames, c.sizes, c.mtimes, c.reasons, c.uuids, c.waits},
		c.sidecars.args(), c.markers.args(), []any{c.likes, c.shifts, c.holds, c.tries, c.deliveries})
	var rejected int64
	err = tx.QueryRow(ctx, insertRows, args...).Scan(&made.New, &rejected)
	if made.Rejected += rejected; err != nil {
		return made, err
	}
	_, err = tx.Exec(ctx, redeliveredRows, c.ids) // those of first deliveries are 0
	return made, err
}

// args are the lists of the statements that change rows.
func (c columns) args() []any {
	return slices.Concat([]any{c.ids, c.sizes, c.mtimes, c.uuids, c.waits}, c.sidecars.args(), c.markers.args(),
		[]any{c.looks, c.clocks, c.sinces, c.likes, c.shifts, c.holds, c.tries, c.lookFirst, c.whys})
}
