package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// maxCandidates is the number of files up to which an index lookup is preferred to a scan in
	// order of id. maxSpread is the number up to which the lookup restricts the id range: files of
	// one day's folder have adjacent ids.
	maxCandidates = 2000
	maxSpread     = 50_000
	// indexedRunes is the length of the indexed prefix of paths and names.
	indexedRunes = 200
	// aboveAll sorts after every character that a display path can contain.
	aboveAll = "\U0010FFFF"
)

// The ORDER BY makes the database read the index and stop at the limit.
const filesByText = `SELECT file_id FROM file_names WHERE %[1]s >= $1 AND %[1]s < $2 ORDER BY %[1]s LIMIT $3`

const spreadOfText = `SELECT min(file_id), max(file_id), count(*) FROM (` + filesByText + `) f`

const (
	filesByUUID      = `SELECT id FROM files WHERE file_uuid = ANY ($1::uuid[]) AND file_uuid BETWEEN $2 AND $3 LIMIT $4`
	filesByUUIDRange = `SELECT id FROM files WHERE file_uuid BETWEEN $1 AND $2 ORDER BY file_uuid LIMIT $3`
)

// withUUID returns the ids of the files that the filter selects by uuid, at most maxCandidates.
// Only a prefix too short to be useful matches more.
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
	ids, err = selectAll(ctx, s, "look up uuids", pgx.RowTo[int64], query, planned(args)...)
	return nonNil(ids), err
}

// candidates are the files that may match uuids or a glob.
type candidates struct {
	// ids holds all candidates if complete is true.
	ids      []int64
	complete bool
	// first and last bound the ids of the candidates.
	first, last int64
}

// candidates looks up the files that have the filter's uuids, or whose path or name has the
// literal prefix of its glob.
func (s *Store) candidates(ctx context.Context, filter ingest.FileFilter) (found candidates, err error) {
	found = candidates{first: 1, last: lastID}
	if filter.UUID != "" || len(filter.UUIDs) > 0 {
		found.complete = true
		found.ids, err = s.withUUID(ctx, filter)
		return found, err
	}
	path, name := literals(cleanText(filter.Path))
	for _, try := range []struct{ column, prefix string }{{"name", name}, {"path", path}} {
		if try.prefix == "" {
			continue
		}
		err = s.retry(ctx, "look up a path", func() error { return s.withPrefix(ctx, try.column, try.prefix, &found) })
		if err != nil || found.complete {
			return found, err
		}
	}
	return found, nil
}

// withPrefix restricts found to the files whose column has the prefix.
func (s *Store) withPrefix(ctx context.Context, column, prefix string, found *candidates) error {
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
		found.ids, found.complete = nonNil(ids), true
		return nil
	}
	var first, last, n int64
	err = s.pool.QueryRow(ctx, fmt.Sprintf(spreadOfText, column), planned(append(between, maxSpread+1))...).Scan(&first, &last, &n)
	if err == nil && n <= maxSpread {
		found.first, found.last = max(found.first, first), min(found.last, last)
	}
	return err
}

const (
	knownHash = `SELECT EXISTS (SELECT FROM files WHERE file_hash = $1)`
	knownUUID = `SELECT EXISTS (SELECT FROM files WHERE file_uuid BETWEEN $1 AND $2)`
	// exactPrefix is the number of digits from which a search for a known uuid does not search
	// paths. Shorter ones, such as a year, begin the uuids of many files.
	exactPrefix = 8
)

// exactSearch replaces a search for a known SHA-256 or uuid by the filter that an index serves.
func (s *Store) exactSearch(ctx context.Context, filter ingest.FileFilter) (ingest.FileFilter, error) {
	filter.Search = strings.TrimSpace(filter.Search)
	text := filter.Search
	known := func(query string, args ...any) (is bool, err error) {
		err = s.retry(ctx, "look up a search text", func() error { return s.pool.QueryRow(ctx, query, args...).Scan(&is) })
		return is, err
	}
	if isSHA256(text) && filter.Hash == "" {
		is, err := known(knownHash, strings.ToLower(text))
		if is {
			filter.Hash, filter.Search = strings.ToLower(text), ""
		}
		return filter, err
	}
	low, high, err := uuidRange(text)
	if err != nil || len(strings.ReplaceAll(text, "-", "")) < exactPrefix || filter.UUID != "" || len(filter.UUIDs) > 0 {
		return filter, nil //nolint:nilerr // the text is no uuid
	}
	is, err := known(knownUUID, low, high)
	if is {
		filter.UUID, filter.Search = text, ""
	}
	return filter, err
}

func isSHA256(text string) bool {
	decoded, err := hex.DecodeString(text)
	return err == nil && len(decoded) == sha256.Size
}

// literals returns the literal prefix of every path, and of every file name, that matches the
// glob; empty when there is none.
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
	if !strings.Contains(last, "**") { // matches across slashes
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

// spanLength is the length of a span in migrations/00110_statistics.sql.
const spanLength = 10 * time.Minute

// idsOf returns the range of ids that the filter's cursor and times leave; first exceeds last
// when it is empty.
func (s *Store) idsOf(ctx context.Context, filter ingest.FileFilter) (first, last int64, err error) {
	first, last = 1, lastID
	if !filter.From.IsZero() || !filter.To.IsZero() {
		to := filter.To
		if to.IsZero() {
			to = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		err = s.retry(ctx, "look up a time range", func() error {
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
