package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// Observe records the observations of a listing or a STAT in one transaction; source is
// recorded in the discovered events. It counts the observations and the rows created: New and
// Rejected. Repeated observations create no rows. Concurrent listings of one server are
// serialized. A listing without changes only reads: it takes no lock and writes nothing, even
// if the server was removed.
//
// When a transaction is repeated after a commit without response, the rows of the first attempt
// may be counted as known.
func (s *Store) Observe(ctx context.Context, serverUUID, source string, seen []ingest.Observation) (ingest.ScanCounts, error) {
	counts := ingest.ScanCounts{Seen: int64(len(seen))}
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil || len(seen) == 0 {
		return counts, err
	}
	entries := distinct(seen)
	changes, err := s.changesOf(ctx, id, source, entries)
	counts.Same = changes.same
	if err != nil || changes.empty() {
		counts.Rejected = changes.unrecorded
		return counts, err
	}
	var moved int64
	err = s.inTx(ctx, "record observations", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, id); err != nil {
			return err
		}
		// Another listing may have recorded the same observations before it released the lock.
		changes, err := compare(ctx, tx, id, source, entries)
		if err != nil {
			return err
		}
		if err := changes.markStaleCompanions(ctx, tx, id); err != nil {
			return err
		}
		if err := changes.markMoved(ctx, tx, id); err != nil {
			return err
		}
		moved = int64(len(changes.supersede) + len(changes.reopen) + len(changes.failAgain))
		made, err := changes.write(ctx, tx, id, cleanText(source))
		counts.New, counts.Rejected = made.New, made.Rejected
		return err
	})
	if err == nil {
		s.changed(ctx, moved)
	}
	return counts, err
}

// changesOf compares the observations with the ledger.
func (s *Store) changesOf(ctx context.Context, serverUUID, source string, entries []entry) (changes plan, err error) {
	err = s.retry(ctx, "compare observations", func() error {
		changes, err = compare(ctx, s.pool, serverUUID, source, entries)
		return err
	})
	return changes, err
}

// sourceRecheck is the source of STATs of single files, which override listings.
const sourceRecheck = "recheck"

const observeRules = `SELECT options, settle, statement_timestamp() FROM sftp_servers WHERE server_uuid = $1`

// compare plans the changes for the observations.
func compare(ctx context.Context, db querier, serverUUID, source string, entries []entry) (plan, error) {
	rows, err := db.Query(ctx, observeRules, serverUUID)
	if err != nil {
		return plan{}, err
	}
	var options ingest.Options
	r := rules{stat: source == sourceRecheck}
	if _, err = pgx.ForEachRow(rows, []any{&options, &r.settle, &r.now}, func() error { return nil }); err != nil {
		return plan{}, err
	}
	r.identity, r.resent, r.moved, r.neverHold = options.Identity, options.Resent, options.Moved, options.HoldChanges < 0
	known, err := knownRows(ctx, db, serverUUID, entries)
	if err != nil {
		return plan{}, err
	}
	return decide(r, entries, known), nil
}

// The lock serializes listings of one server, but allows inserts of rows that refer to it.
const lockServer = `SELECT removed_at IS NULL FROM sftp_servers WHERE server_uuid = $1 FOR NO KEY UPDATE`

func lockServerRow(ctx context.Context, tx pgx.Tx, serverUUID string) error {
	return checkServerRow(tx.QueryRow(ctx, lockServer, serverUUID), serverUUID)
}

// checkServerRow evaluates the result of lockServer.
func checkServerRow(row pgx.Row, serverUUID string) error {
	var exists bool
	err := row.Scan(&exists)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNo("server with uuid", serverUUID)
	}
	if err == nil && !exists {
		return ingest.Errorf(ingest.KindConflict, "server %s has been removed: its observations are not recorded", serverUUID)
	}
	return err
}

// write executes the plan. Superseding comes first, because a path has at most one settling
// version.
func (p plan) write(ctx context.Context, tx pgx.Tx, serverUUID, source string) (made ingest.ScanCounts, err error) {
	argsOf := func(rows []entry) pgx.NamedArgs {
		args := entryArgs(serverUUID, rows)
		args["source"], args["stat"] = source, p.stat
		return args
	}
	for _, step := range []struct {
		statement string
		rows      []entry
	}{
		{supersedeRows, p.supersede},
		{seenAgainRows, p.seenAgain},
		{resettleRows, p.resettle},
		{failAgainRows, p.failAgain},
		{reopenRows, p.reopen},
		{setShownRows, p.setShown},
		{markResentRows, p.markResent},
	} {
		if len(step.rows) == 0 {
			continue
		}
		if _, err := tx.Exec(ctx, step.statement, argsOf(step.rows)); err != nil {
			return made, err
		}
	}
	insert, dropped, err := withinLimit(ctx, tx, serverUUID, ingest.MaxRejected, p.insert)
	if made.Rejected = p.unrecorded + dropped; err != nil || len(insert) == 0 {
		return made, err
	}
	args := argsOf(insert)
	var rejected int64
	err = tx.QueryRow(ctx, insertRows, args).Scan(&made.New, &rejected)
	if made.Rejected += rejected; err != nil {
		return made, err
	}
	_, err = tx.Exec(ctx, redeliveredRows, args["ids"]) // ids of first deliveries are 0
	return made, err
}
