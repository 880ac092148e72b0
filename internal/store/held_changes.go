package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// heldParts groups held files: moved files form one part, the others are grouped by shift.
	// Shifts of fewer than @few files form one part, null.
	heldParts = `
SELECT moved, CASE WHEN files >= @few THEN time_shift END AS part, sum(files)::bigint FROM (
	SELECT moved, time_shift, count(*) AS files FROM (
		SELECT moved_from IS NOT NULL AS moved, CASE WHEN moved_from IS NULL THEN time_shift END AS time_shift
		FROM files WHERE server_uuid = @server AND hold = 'held'
	) f GROUP BY moved, time_shift
) m GROUP BY moved, part`

	heldOthers = `
SELECT remote_path, time_shift, '' FROM files f WHERE ` + heldShift + ` AND time_shift IN (` + fewMoved + `)
ORDER BY id LIMIT @limit`

	heldMoves = `
SELECT f.remote_path, 0::bigint, t.remote_path FROM files f JOIN files t ON t.id = f.moved_from
WHERE f.server_uuid = @server AND f.hold = 'held' ORDER BY f.id LIMIT @limit`

	heldShift = `f.server_uuid = @server AND f.hold = 'held' AND f.moved_from IS NULL`
	fewMoved  = `SELECT time_shift FROM files f WHERE ` + heldShift + ` GROUP BY time_shift HAVING count(*) < @few`

	// ofPart is the condition for a part.
	ofPart = `
	AND (@part IN ('', 'all') OR @part = 'moved' AND f.moved_from IS NOT NULL
		OR @part = 'others' AND f.moved_from IS NULL AND f.time_shift IN (` + fewMoved + `)
		OR @part NOT IN ('', 'all', 'others', 'moved') AND f.moved_from IS NULL AND f.time_shift = @shift)`
)

// heldExamples is the number of example files of the parts "others" and "moved".
const heldExamples = 5

// addHeldParts adds the parts of each server's held changes.
func addHeldParts(ctx context.Context, db querier, all map[string]ingest.Attention) error {
	for server, a := range all {
		if a.Held.Files == 0 {
			continue
		}
		var err error
		if a.Held.Parts, err = partsOf(ctx, db, server); err != nil {
			return err
		}
		a.HeldReason = a.Held.String()
		all[server] = a
	}
	return nil
}

// partsOf returns the parts of a server's held changes, largest first.
func partsOf(ctx context.Context, db querier, serverUUID string) ([]ingest.HeldPart, error) {
	rows, err := db.Query(ctx, heldParts, pgx.NamedArgs{"server": serverUUID, "few": ingest.MinShifted})
	if err != nil {
		return nil, err
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ingest.HeldPart, err error) {
		var shift *int64
		err = row.Scan(&p.Moved, &shift, &p.Files)
		if p.Others = shift == nil && !p.Moved; shift != nil {
			p.Shift = time.Duration(*shift) * time.Second
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		if !p.Others && !p.Moved {
			continue
		}
		query := heldOthers
		if p.Moved {
			query = heldMoves
		}
		if parts[i].Examples, err = examplesOf(ctx, db, query, serverUUID); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(parts, func(a, b ingest.HeldPart) int {
		return cmp.Or(cmp.Compare(b.Files, a.Files), cmp.Compare(a.Shift, b.Shift))
	})
	return parts, nil
}

func examplesOf(ctx context.Context, db querier, query, serverUUID string) ([]ingest.HeldFile, error) {
	rows, err := db.Query(ctx, query, pgx.NamedArgs{"server": serverUUID, "few": ingest.MinShifted, "limit": heldExamples})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f ingest.HeldFile, err error) {
		var shift int64
		err = row.Scan(&f.Path, &shift, &f.From)
		f.Shift = time.Duration(shift) * time.Second
		return f, err
	})
}

const (
	releaseHeld = `
WITH changed AS (
	UPDATE files f SET hold = 'free' WHERE server_uuid = @server AND hold = 'held' AND ` + unsettledRows + ofPart + ` RETURNING id, round
)` + recordAction + `
SELECT count(*) FROM changed`

	supersedeHeld = `
WITH changed AS (
	UPDATE files f SET hold = NULL, status = 'superseded', error_step = 'discover', error_kind = 'same_content',
		error_message = 'an operator marked it as the version ingested before, ' || coalesce(
			'as ' || (SELECT t.remote_path FROM files t WHERE t.id = f.moved_from), 'with another time')
	WHERE server_uuid = @server AND hold = 'held' AND status = 'discovered'` + ofPart + ` RETURNING id, round
)` + recordAction + `, closed AS (
	INSERT INTO file_events (file_id, round, event_type, details)
	SELECT id, round, 'superseded', jsonb_build_object('step', 'discover') FROM changed ORDER BY id
	ON CONFLICT DO NOTHING
)
SELECT count(*) FROM changed`

	recordAction = `, recorded AS (
	INSERT INTO file_events (file_id, round, event_type, fact_key, details)
	SELECT id, round, 'operator_action', @key, jsonb_build_object('action', @action::text, 'actor', @actor::text, 'reason', @reason::text) FROM changed ORDER BY id
	ON CONFLICT DO NOTHING
)`
)

// DecideChanges applies an operator action to a part of the server's held changes, see
// ingest.ParsePart, and returns the number of files changed. An empty part selects the only
// one; if there are several, it is KindConflict. key makes the action idempotent.
func (s *Store) DecideChanges(
	ctx context.Context, serverUUID string, decision ingest.ChangesDecision, part, actor, reason, key string,
) (files int64, err error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return 0, err
	}
	shift, err := ingest.ParsePart(part)
	if err != nil {
		return 0, err
	}
	statement := releaseHeld
	switch decision {
	case ingest.ChangesTake:
	case ingest.ChangesSame:
		statement = supersedeHeld
	default:
		return 0, ingest.Errorf(ingest.KindInvalid, "decision %q: use %s or %s", decision, ingest.ChangesTake, ingest.ChangesSame)
	}
	err = s.inTx(ctx, "change held files", func(tx pgx.Tx) error {
		if err := lockServerRow(ctx, tx, id); err != nil {
			return err
		}
		if part == "" {
			if err := onePart(ctx, tx, id); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, statement, pgx.NamedArgs{
			"server": id, "key": cleanKey(key), "actor": cleanText(actor), "reason": cleanText(reason), "action": string(decision),
			"part": part, "shift": int64(shift / time.Second), "few": ingest.MinShifted,
		}).Scan(&files)
	})
	if err == nil {
		s.changed(ctx, files)
	}
	return files, err
}

// onePart returns KindConflict if there are several parts: files shifted by a clock change may
// include a file that was really replaced.
func onePart(ctx context.Context, db querier, serverUUID string) error {
	parts, err := partsOf(ctx, db, serverUUID)
	if err != nil || len(parts) < 2 {
		return err
	}
	held := ingest.HeldChanges{Parts: parts}
	for _, p := range parts {
		held.Files += p.Files
	}
	return ingest.Errorf(ingest.KindConflict, "%s: name the part, such as %s, or %s", held, parts[0].Name(), ingest.PartAll)
}
