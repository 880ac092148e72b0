package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const registerDispatcher = `
INSERT INTO dispatchers AS d (server_uuid, fence) SELECT server_uuid, 1 FROM sftp_servers WHERE server_uuid = $1
ON CONFLICT (server_uuid) DO UPDATE SET fence = d.fence + 1
RETURNING fence`

// RegisterDispatcher makes the caller the server's only dispatcher and returns its fence. Dispatchers
// holding an older fence are rejected.
func (s *Store) RegisterDispatcher(ctx context.Context, serverUUID string) (fence int64, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return 0, err
	}
	err = s.inBatch(ctx, "register a dispatcher of server "+id, func(b *pgx.Batch) {
		b.Queue(lockDispatch, id) // waits for a running reservation
		b.Queue(registerDispatcher, id).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&fence)
			if errors.Is(err, pgx.ErrNoRows) {
				return errNo("server with uuid", id)
			}
			return err
		})
	})
	return fence, err
}

// dispatchState reads the state of a server's dispatch in one snapshot.
const dispatchState = `
SELECT ` + serverColumns + `, coalesce(d.fence, 0),
	(SELECT count(*) FROM slots x WHERE x.server_uuid = $1),
	EXISTS (SELECT FROM files f WHERE ` + isFresh + `) OR EXISTS (SELECT FROM files f WHERE ` + isDue + `),
	(` + isTroubled + `),
	(` + untilDeferred + `)
FROM sftp_servers s LEFT JOIN dispatchers d ON d.server_uuid = s.server_uuid
WHERE s.server_uuid = $1`

// state is a Reservation without slots, and the current dispatcher's fence.
type state struct {
	ingest.Reservation
	fence int64
}

func scanState(row pgx.CollectableRow) (st state, err error) {
	var r serverRow
	var deferred *float64
	if err = row.Scan(append(r.targets(), &st.fence, &st.InUse, &st.Waiting, &st.Troubled, &deferred)...); err != nil {
		return st, err
	}
	st.DeferredFor = waitFor(deferred)
	st.Server, err = r.read()
	return st, err
}

func (st state) check(fence int64) error {
	if st.fence != fence {
		return ingest.Errorf(ingest.KindFenced, "server %s has a newer dispatcher %d: dispatcher %d must stop",
			st.Server.Name, st.fence, fence)
	}
	return nil
}

// ReserveSlots reserves slots for at most limit ready files of the server, those waiting
// longest first. Deferred files hold at most half of the slots while fresh ones wait. A server
// in trouble starts one file at a time. A server has at most MaxParallel slots, however many
// callers reserve concurrently; an inactive or suspended server gets none. fence must be that
// of the current dispatcher, otherwise the error is KindFenced. A call that can reserve nothing
// writes nothing.
func (s *Store) ReserveSlots(ctx context.Context, serverUUID string, fence int64, limit int) (ingest.Reservation, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return ingest.Reservation{}, err
	}
	return s.reserve(ctx, id, fence, max(limit, 0))
}

func queueState(b *pgx.Batch, serverUUID string, st *state) {
	b.Queue(dispatchState, serverUUID).Query(func(rows pgx.Rows) (err error) {
		*st, err = pgx.CollectExactlyOneRow(rows, scanState)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNo("server with uuid", serverUUID)
		}
		return err
	})
}

const (
	// lockDispatch serializes reservations: while it is held, the server's slots can only be
	// released. It is an advisory lock, because a row lock makes a transaction that reserves
	// nothing write to disk.
	lockDispatch = `SELECT pg_advisory_xact_lock(hashtextextended('dispatch ' || $1, 0))`

	// isTroubled reports whether 10 files of the server were deferred within the last minute: each
	// retry costs the server a connection and a login. Files deferred for lack of staging space do
	// not count, as they cost none. The bound on not_before excludes deferrals that are due.
	isTroubled = `
SELECT count(*) >= 10 FROM (
	SELECT FROM files f
	WHERE f.server_uuid = $1 AND f.status = 'ready' AND f.not_before > now() - interval '1 minute'
		AND f.updated_at > now() - interval '1 minute' AND f.error_kind IS DISTINCT FROM 'staging_full'
	LIMIT 10) AS recent`

	// Files locked by another transaction are skipped, because their status may be changing. Fresh
	// and deferred files are merged by time.
	reserveSlots = `
WITH capacity AS (
	SELECT greatest(least($3, CASE WHEN (` + isTroubled + `) THEN 1 END,
			s.max_parallel - (SELECT count(*) FROM slots x WHERE x.server_uuid = $1)), 0) AS slots,
		greatest(s.max_parallel / 2, 1) - (
			SELECT count(*) FROM slots x JOIN files f ON f.id = x.file_id WHERE x.server_uuid = $1 AND f.not_before IS NOT NULL) AS deferred
	FROM sftp_servers s JOIN dispatchers d ON d.server_uuid = s.server_uuid
	WHERE s.server_uuid = $1 AND d.fence = $2 AND s.is_active AND s.state = 'ok' AND s.removed_at IS NULL
), fresh AS (
	SELECT f.id, f.server_uuid, f.created_at AS since FROM files f
	WHERE ` + isFresh + firstFresh + `
	LIMIT coalesce((SELECT slots FROM capacity), 0)
	FOR NO KEY UPDATE OF f SKIP LOCKED
), deferred AS (
	SELECT f.id, f.server_uuid, f.not_before AS since FROM files f
	WHERE ` + isDue + firstDue + `
	LIMIT coalesce((SELECT greatest(least(slots, deferred), slots - (SELECT count(*) FROM fresh), 0) FROM capacity), 0)
	FOR NO KEY UPDATE OF f SKIP LOCKED
), next AS (
	SELECT * FROM (SELECT * FROM fresh UNION ALL SELECT * FROM deferred) AS waiting
	ORDER BY since, id LIMIT coalesce((SELECT slots FROM capacity), 0)
), reserved AS (
	INSERT INTO slots (file_id, server_uuid) SELECT id, server_uuid FROM next ORDER BY since, id RETURNING file_id, slot
)
SELECT r.slot, 0::float8, ` + fileColumns + `
FROM reserved r JOIN files f ON f.id = r.file_id JOIN sftp_servers s ON s.server_uuid = f.server_uuid ORDER BY r.slot`
)

func (s *Store) reserve(ctx context.Context, serverUUID string, fence int64, limit int) (ingest.Reservation, error) {
	var slots []ingest.Slot
	var st state
	err := s.inBatch(ctx, "reserve slots", func(b *pgx.Batch) {
		b.Queue(lockDispatch, serverUUID)
		b.Queue(reserveSlots, serverUUID, fence, limit).Query(func(rows pgx.Rows) (err error) {
			slots, err = pgx.CollectRows(rows, scanSlot)
			return err
		})
		queueState(b, serverUUID, &st)
	})
	if err == nil {
		err = st.check(fence)
	}
	st.Slots = slots
	return st.Reservation, err
}

const slotsOfServer = `
SELECT x.slot, extract(epoch FROM now() - x.reserved_at)::float8, ` + fileColumns + `
FROM slots x JOIN files f ON f.id = x.file_id JOIN sftp_servers s ON s.server_uuid = f.server_uuid
WHERE x.server_uuid = $1 ORDER BY x.slot`

// Slots returns the slots of the server, ordered by number.
func (s *Store) Slots(ctx context.Context, serverUUID string) (slots []ingest.Slot, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return nil, err
	}
	return selectAll(ctx, s, "list slots", scanSlot, slotsOfServer, id)
}

func scanSlot(row pgx.CollectableRow) (slot ingest.Slot, err error) {
	var r fileRow
	var age float64
	err = row.Scan(append([]any{&slot.Number, &age}, r.targets()...)...)
	slot.File, slot.Age = r.read(), max(seconds(age), 0)
	return slot, err
}

const releaseSlot = `DELETE FROM slots x USING files f WHERE f.file_uuid = $1 AND x.file_id = f.id AND x.slot = $2`

// ReleaseSlot releases the file's slot if it has the given number. Releasing a slot that does
// not exist is not an error.
func (s *Store) ReleaseSlot(ctx context.Context, fileUUID string, slot int64) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	return s.exec(ctx, "release a slot", releaseSlot, id, slot)
}
