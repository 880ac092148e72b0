package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// maxCandidates is how many files an index may name before going through
	// files in order is taken to be as good, and maxSpread of how many it tells
	// between which ids they lie: those of one day's folder lie together.
	maxCandidates = 2000
	maxSpread     = 50_000
	// indexedRunes is how much of paths and names is in their indexes.
	indexedRunes = 200
	// aboveAll sorts behind every character that a displayed path can have.
	aboveAll = "\U0010FFFF"
)

// The ORDER BY makes the database read the index and stop at the limit.
const filesByText = `SELECT file_id FROM file_names WHERE %[1]s >= $1 AND %[1]s < $2 ORDER BY %[1]s LIMIT $3`

const spreadOfText = `SELECT min(file_id), max(file_id), count(*) FROM (` + filesByText + `) f`

const (
	filesByUUID      = `SELECT id FROM files WHERE file_uuid = ANY ($1::uuid[]) AND file_uuid BETWEEN $2 AND $3 LIMIT $4`
	filesByUUIDRange = `SELECT id FROM files WHERE file_uuid BETWEEN $1 AND $2 ORDER BY file_uuid LIMIT $3`
)

// withUUID returns the ids of the files that the filter names by uuid; the first
// of them when there are too many, which takes a prefix that nobody can mean.
func (s *Store) withUUID(ctx context.Context, filter ingest.FileFilter) (ids []int64, err error) {
	low, high := uuid.Nil.String(), uuid.Max.String()
	if filter.UUID != "" {
		if low, high, err = uuidRange(filter.UUID); err != nil {
			return nil, err
		}
	}
	query, args := filesByUUIDRange, []any{low, high, maxCandidates}
	if len(filter.UUIDs) > 0 {
		query, args = filesByUUID, append([]any{filter.UUIDs}, args...)
	}
	err = s.retry(ctx, "look for a uuid", func() error {
		rows, err := s.pool.Query(ctx, query, planned(args)...)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return nonNil(ids), err
}

// candidates are the files that may fit uuids or a glob.
type candidates struct {
	// ids are all of them if they are few.
	ids []int64
	few bool
	// They lie between first and last.
	first, last int64
}

// candidates looks up the files that have the filter's uuids, or whose path or
// name begins as its glob does.
func (s *Store) candidates(ctx context.Context, filter ingest.FileFilter) (found candidates, err error) {
	found = candidates{first: 1, last: lastID}
	if filter.UUID != "" || len(filter.UUIDs) > 0 {
		found.few = true
		found.ids, err = s.withUUID(ctx, filter)
		return found, err
	}
	path, name := literals(cleanText(filter.Path))
	for _, try := range []struct{ column, prefix string }{{"name", name}, {"path", path}} {
		if try.prefix == "" {
			continue
		}
		err = s.retry(ctx, "look for a path", func() error { return s.named(ctx, try.column, try.prefix, &found) })
		if err != nil || found.few {
			return found, err
		}
	}
	return found, nil
}

// named narrows what was found to the files whose column begins with the prefix.
func (s *Store) named(ctx context.Context, column, prefix string, found *candidates) error {
	between := []any{prefix, prefix + aboveAll}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(filesByText, column), planned(append(between, maxCandidates+1))...)
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	if len(ids) <= maxCandidates {
		found.ids, found.few = nonNil(ids), true
		return nil
	}
	var first, last, n int64
	err = s.pool.QueryRow(ctx, fmt.Sprintf(spreadOfText, column), planned(append(between, maxSpread+1))...).Scan(&first, &last, &n)
	if err == nil && n <= maxSpread {
		found.first, found.last = max(found.first, first), min(found.last, last)
	}
	return err
}

// literals returns what every path that fits the glob begins with, and every
// file name; empty when that may be anything.
func literals(glob string) (path, name string) {
	const wildcards = "*?"
	before := func(text string) string {
		if i := strings.IndexAny(text, wildcards); i >= 0 {
			text = text[:i]
		}
		for n := utf8.RuneCountInString(text); n > indexedRunes; n-- {
			_, size := utf8.DecodeLastRuneInString(text)
			text = text[:len(text)-size]
		}
		return text
	}
	if strings.HasPrefix(glob, "/") {
		path = before(glob)
	}
	last := baseName(glob)
	if !strings.Contains(last, "**") { // which would reach across slashes
		name = before(last)
	}
	return path, name
}

const idsOfSpans = `
SELECT coalesce(min(first_id), 1), coalesce(max(last_id), 0)
FROM (
	SELECT span, first_id, last_id FROM file_spans
	UNION ALL
	SELECT span, first_id, last_id FROM file_deltas WHERE span IS NOT NULL
) s
WHERE span >= $1 AND span < $2`

// spanLength is that of migration 00009.
const spanLength = 10 * time.Minute

// idsOf returns between which ids the files lie that the filter's cursor and
// times leave; first is above last when there are none.
func (s *Store) idsOf(ctx context.Context, filter ingest.FileFilter) (first, last int64, err error) {
	first, last = 1, lastID
	if !filter.From.IsZero() || !filter.To.IsZero() {
		to := filter.To
		if to.IsZero() {
			to = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		err = s.retry(ctx, "look for a time", func() error {
			return s.pool.QueryRow(ctx, idsOfSpans, filter.From.UTC().Truncate(spanLength), to.UTC()).Scan(&first, &last)
		})
	}
	switch {
	case filter.AfterID == 0:
	case filter.Order == ingest.OrderNewest:
		last = min(last, filter.AfterID-1)
	default:
		first = max(first, filter.AfterID+1)
	}
	return first, last, err
}
