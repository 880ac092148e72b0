package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// maxParts is the limit of S3 for a multipart upload.
const maxParts = 10_000

// The lock blocks claims until the checkpoint is committed. A row is written only under the
// current fence of a file that has not ended.
const saveTransfer = `
WITH f AS (SELECT id, fence, status FROM files WHERE file_uuid = $1 FOR SHARE), saved AS (
	INSERT INTO transfers (file_id, upload_id, part_size, parts, next_offset, hash_state, shown_mtime)
	SELECT f.id, $3, $4, $5, $6, $7, $8 FROM f WHERE f.fence = $2 AND f.status <> ALL ('{completed,skipped,vanished,superseded,rejected}')
	ON CONFLICT (file_id) DO UPDATE SET upload_id = excluded.upload_id, part_size = excluded.part_size, parts = excluded.parts,
		next_offset = excluded.next_offset, hash_state = excluded.hash_state, shown_mtime = excluded.shown_mtime, updated_at = now()
)
SELECT fence, status FROM f`

// SaveTransfer replaces the checkpoint of a direct transfer. fence must be the file's current
// fence, otherwise the error is KindFenced. It returns KindConflict if the file has ended, and
// KindInvalid for an inconsistent checkpoint. With 10,000 parts it writes about 0.9 MB.
func (s *Store) SaveTransfer(ctx context.Context, fileUUID string, fence int64, cp ingest.TransferCheckpoint) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	parts, err := packParts(cp)
	if err != nil {
		return ingest.Wrap(ingest.KindInvalid, err, "checkpoint of file %s", id)
	}
	return s.retry(ctx, "save a checkpoint of file "+id, func() error {
		var current int64
		var status ingest.Status
		err := s.pool.QueryRow(ctx, saveTransfer, id, fence, cp.UploadID, cp.PartSize, parts, cp.Offset, nullIfEmpty(cp.HashState), cp.Shown).
			Scan(&current, &status)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errNo("file with uuid", id)
		case err != nil:
			return err
		case current != fence:
			return errFenced(id, current, fence)
		case status.Terminal():
			return ingest.Errorf(ingest.KindConflict, "file %s is %s: its transfer has ended", id, status)
		}
		return nil
	})
}

const transferOfFile = `
SELECT t.upload_id, t.part_size, t.parts, t.next_offset, t.hash_state, t.shown_mtime
FROM transfers t JOIN files f ON f.id = t.file_id WHERE f.file_uuid = $1`

// Transfer returns the file's last checkpoint and whether there is one.
func (s *Store) Transfer(ctx context.Context, fileUUID string) (cp ingest.TransferCheckpoint, found bool, err error) {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return cp, false, err
	}
	err = s.retry(ctx, "read the checkpoint of file "+id, func() error {
		cp, found = ingest.TransferCheckpoint{}, false
		var parts []byte
		err := s.pool.QueryRow(ctx, transferOfFile, id).Scan(&cp.UploadID, &cp.PartSize, &parts, &cp.Offset, &cp.HashState, &cp.Shown)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err == nil {
			cp.Parts, err = unpackParts(cp, parts)
		}
		found = err == nil
		return err
	})
	return cp, found, err
}

const forgetTransfer = `DELETE FROM transfers t USING files f WHERE f.file_uuid = $1 AND t.file_id = f.id`

// ForgetTransfer deletes the file's checkpoint, so that its next transfer starts at offset 0. A
// missing checkpoint is not an error.
func (s *Store) ForgetTransfer(ctx context.Context, fileUUID string) error {
	id, err := validUUID("file with uuid", fileUUID)
	if err != nil {
		return err
	}
	return s.exec(ctx, "delete the checkpoint of file "+id, forgetTransfer, id)
}

// packParts encodes the parts for the column: two texts each. Numbers and sizes follow from the
// order, the part size and the offset.
func packParts(cp ingest.TransferCheckpoint) (packed []byte, err error) {
	texts := make([]string, 0, 2*len(cp.Parts))
	total := int64(0)
	for i, part := range cp.Parts {
		last := i == len(cp.Parts)-1
		if part.Number != i+1 || part.Size <= 0 || part.Size > cp.PartSize || part.Size < cp.PartSize && !last {
			return nil, fmt.Errorf("part %d of %d bytes follows part %d; the part size is %d", part.Number, part.Size, i, cp.PartSize)
		}
		total += part.Size
		texts = append(texts, cleanText(part.ETag), cleanText(part.SHA256))
	}
	if len(cp.Parts) > maxParts || total != cp.Offset {
		return nil, fmt.Errorf("%d parts of %d bytes do not match offset %d", len(cp.Parts), total, cp.Offset)
	}
	return json.Marshal(texts)
}

func unpackParts(cp ingest.TransferCheckpoint, packed []byte) (parts []ingest.Part, err error) {
	var texts []string
	if err := json.Unmarshal(packed, &texts); err != nil {
		return nil, fmt.Errorf("parts of upload %s: %w", cp.UploadID, err)
	}
	rest := cp.Offset
	for i := 0; i+1 < len(texts); i += 2 {
		size := min(cp.PartSize, rest)
		rest -= size
		parts = append(parts, ingest.Part{Number: i/2 + 1, Size: size, ETag: texts[i], SHA256: texts[i+1]})
	}
	return parts, nil
}
