package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const claimFile = `
UPDATE files f SET fence = f.fence + 1
FROM sftp_servers s
WHERE f.file_uuid = $1 AND s.server_uuid = f.server_uuid
RETURNING ` + fileColumns

// Claim raises the file's fence and returns the file as it then is. Whoever
// holds an older fence can no longer change the file.
func (s *Store) Claim(ctx context.Context, fileUUID string) (ingest.File, error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return ingest.File{}, err
	}
	return s.oneFile(ctx, "claim file "+id, claimFile, id)
}

// Apply commits a change with its events, all or nothing. It returns
// KindFenced when a newer claim exists, KindConflict when the status may not
// change so, and KindMissing when there is no such file. Applying the same
// change twice is the same as once: events are facts of their round, and a
// change that begins a new round is known by its first event's key.
func (s *Store) Apply(ctx context.Context, change ingest.Change) error {
	id, err := validUUID("file with uuid", change.FileUUID)
	if err != nil {
		return err
	}
	if change.NewRound && (len(change.Events) == 0 || change.Events[0].Key == "") {
		return ingest.Errorf(ingest.KindInvalid, "a change that begins a new round needs an event with a key: without it nobody can tell a repetition")
	}
	facts, err := newFacts(change.Events)
	if err != nil {
		return ingest.Wrap(ingest.KindInvalid, err, "change of file %s", id)
	}
	err = s.inTx(ctx, "record a change of file "+id, func(tx pgx.Tx) error {
		return apply(ctx, tx, id, change, facts)
	})
	if err == nil {
		s.changed(ctx, 1)
	}
	return err
}

// lockFile leaves room for others that only refer to the row.
const lockFile = `SELECT id, status, fence, round FROM files WHERE file_uuid = $1 FOR NO KEY UPDATE`

// lockedFile is what decides whether a change may be made.
type lockedFile struct {
	id     int64
	status ingest.Status
	fence  int64
	round  int
}

func apply(ctx context.Context, tx pgx.Tx, fileUUID string, change ingest.Change, facts facts) error {
	var row lockedFile
	err := tx.QueryRow(ctx, lockFile, fileUUID).Scan(&row.id, &row.status, &row.fence, &row.round)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNo("file with uuid", fileUUID)
	}
	if err != nil {
		return err
	}
	if change.NewRound {
		done, err := alreadyApplied(ctx, tx, row.id, facts)
		if err != nil || done {
			return err
		}
		row.round++
	}
	if err := row.allows(fileUUID, change); err != nil {
		return err
	}
	if err := writeFile(ctx, tx, row, change); err != nil {
		return err
	}
	return facts.write(ctx, tx, row.id, row.round)
}

// allows says why the change must not be made, if so.
func (row lockedFile) allows(fileUUID string, change ingest.Change) error {
	if change.Fence != 0 && change.Fence != row.fence {
		return ingest.Errorf(ingest.KindFenced, "file %s belongs to attempt %d now: attempt %d changes nothing more",
			fileUUID, row.fence, change.Fence)
	}
	if change.To != "" && !row.status.CanBecome(change.To) {
		return ingest.Errorf(ingest.KindConflict, "file %s is %s and cannot become %s", fileUUID, row.status, change.To)
	}
	return nil
}

const factInAnyRound = `SELECT EXISTS (SELECT FROM file_events WHERE file_id = $1 AND event_type = $2 AND fact_key = $3)`

func alreadyApplied(ctx context.Context, tx pgx.Tx, fileID int64, facts facts) (done bool, err error) {
	err = tx.QueryRow(ctx, factInAnyRound, fileID, facts.types[0], facts.keys[0]).Scan(&done)
	return done, err
}

// A null leaves the column, an empty text clears it.
const updateFile = `
UPDATE files SET
	status = coalesce(nullif($2, ''), status),
	round = $3,
	file_hash = nullif(coalesce($4, file_hash), ''),
	hash_algo = nullif(coalesce($5, hash_algo), ''),
	minio_bucket = nullif(coalesce($6, minio_bucket), ''),
	minio_object_key = nullif(coalesce($7, minio_object_key), ''),
	minio_etag = nullif(coalesce($8, minio_etag), ''),
	error_step = nullif(coalesce($9, error_step), ''),
	error_kind = nullif(coalesce($10, error_kind), ''),
	error_message = nullif(coalesce($11, error_message), ''),
	staged_on = nullif(coalesce($12, staged_on), ''),
	not_before = CASE
		WHEN $13 THEN now() + least(power(2, least(deferrals, 10)), 15) * interval '1 minute'
		WHEN $14 OR $2 = 'downloaded' THEN NULL
		ELSE not_before END,
	deferrals = CASE
		WHEN $13 THEN deferrals + 1
		WHEN $14 OR $2 = 'downloaded' THEN 0
		ELSE deferrals END,
	completed_at = CASE WHEN $2 = 'completed' THEN coalesce(completed_at, now()) ELSE completed_at END
WHERE id = $1`

// writeFile leaves the row alone, and with it updated_at, when the change
// consists of events only.
func writeFile(ctx context.Context, tx pgx.Tx, row lockedFile, change ingest.Change) error {
	set := change.Set
	if change.To == "" && !change.NewRound && set == (ingest.Columns{}) {
		return nil
	}
	var step, kind, message *string
	if set.Error != nil {
		step, kind, message = clean(string(set.Error.Step)), clean(string(set.Error.Kind)), clean(set.Error.Message)
	}
	_, err := tx.Exec(ctx, updateFile, row.id, string(change.To), row.round,
		set.Hash, set.HashAlgo, set.Bucket, set.ObjectKey, set.ETag, step, kind, message, set.StagedOn,
		change.Defer, change.NewRound && !change.Defer)
	if violates(err, "files_object_key") {
		return ingest.Wrap(ingest.KindConflict, err, "object key %q belongs to another file", *set.ObjectKey)
	}
	return err
}

func clean(text string) *string {
	text = cleanText(text)
	return &text
}

// facts are events as the database takes them, one list per column.
type facts struct {
	types, keys, details []string
}

func newFacts(events []ingest.Event) (facts, error) {
	var f facts
	for _, event := range events {
		details, err := cleanDetails(event.Details)
		if err != nil {
			return facts{}, fmt.Errorf("event %s: %w", event.Type, err)
		}
		f.types = append(f.types, string(event.Type))
		f.keys = append(f.keys, cleanKey(event.Key))
		f.details = append(f.details, details)
	}
	return f, nil
}

const insertEvents = `
INSERT INTO file_events (file_id, round, event_type, fact_key, details)
SELECT $1, $2, e.type, e.key, e.details::jsonb
FROM unnest($3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS e (type, key, details, n)
ORDER BY e.n
ON CONFLICT (file_id, round, event_type, fact_key) DO NOTHING`

func (f facts) write(ctx context.Context, tx pgx.Tx, fileID int64, round int) error {
	if len(f.types) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, insertEvents, fileID, round, f.types, f.keys, f.details)
	return err
}
