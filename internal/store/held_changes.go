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
	// heldParts groups held files by shift. Shifts of fewer than @few files form one part, null.
	heldParts = `
SELECT CASE WHEN files >= @few THEN time_shift END AS part, sum(files)::bigint FROM (
	SELECT time_shift, count(*) AS files FROM files WHERE server_uuid = @server AND hold = 'held' GROUP BY time_shift
) m GROUP BY part`

	heldOthers = `
SELECT remote_path, time_shift FROM files WHERE server_uuid = @server AND hold = 'held' AND time_shift IN (` + fewMoved + `)
ORDER BY id LIMIT @limit`

	fewMoved = `SELECT time_shift FROM files WHERE server_uuid = @server AND hold = 'held' GROUP BY time_shift HAVING count(*) < @few`

	// ofPart is the condition for a part.
	ofPart = `
	AND (@part IN ('', 'all') OR @part = 'others' AND f.time_shift IN (` + fewMoved + `)
		OR @part NOT IN ('', 'all', 'others') AND f.time_shift = @shift)`
)

// heldExamples is the number of example files of the part "others".
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
	rows, err := db.Query(ctx, heldParts, pgx.NamedArgs{"server": serverUUID, "few": ingest.FewMoved})
	if err != nil {
		return nil, err
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p ingest.HeldPart, err error) {
		var shift *int64
		if err = row.Scan(&shift, &p.Files); shift == nil {
			p.Others = true
		} else {
			p.Shift = time.Duration(*shift) * time.Second
		}
		return p, err
	})
	if err != nil {
		return nil, err
	}
	for i := range parts {
		if parts[i].Others {
			if parts[i].Examples, err = examplesOf(ctx, db, serverUUID); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(parts, func(a, b ingest.HeldPart) int {
		return cmp.Or(cmp.Compare(b.Files, a.Files), cmp.Compare(a.Shift, b.Shift))
	})
	return parts, nil
}

func examplesOf(ctx context.Context, db querier, serverUUID string) ([]ingest.HeldFile, error) {
	rows, err := db.Query(ctx, heldOthers, pgx.NamedArgs{"server": serverUUID, "few": ingest.FewMoved, "limit": heldExamples})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f ingest.HeldFile, err error) {
		var shift int64
		err = row.Scan(&f.Path, &shift)
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
		error_message = 'an operator marked it as the version ingested before, with another time'
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
			"part": part, "shift": int64(shift / time.Second), "few": ingest.FewMoved,
		}).Scan(&files)
	})
	if err == nil {
		s.changed(ctx, files)
	}
	return files, err
}

// onePart returns KindConflict if there are several parts: files moved by a clock change may
// include one that was really replaced.
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
