package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// pageScan and countScan bound the files examined for one page or count when no index serves
	// all conditions.
	pageScan  = 5_000
	countScan = 8_000
	// lastID exceeds every id.
	lastID = int64(1)<<62 - 1
)

// fileQuery is a filter translated to SQL. It selects the index itself. The planner assumes
// that the files of a server or a folder are spread evenly, and scans all others when they are
// at the far end. A scan in index order ends with the page; filters are checked on a bounded
// number of index rows.
type fileQuery struct {
	// conditions holds the filters. Its args start with the first and last id.
	conditions

	order string
	// branches each read one index range whose columns before the id are constant.
	branches []branch
	// indexed is the number of args that the branches use; those of filters follow.
	indexed int
	// selective reports that the branches have few rows, however many the filters exclude.
	selective bool
	// empty reports whether no file can match.
	empty bool
}

// branch is a range of one index.
type branch struct {
	where string
	// keys are the columns of the index.
	keys []string
}

func newFileQuery(order ingest.FileOrder, first, last int64) *fileQuery {
	return &fileQuery{conditions: conditions{args: []any{first, last}}, order: direction(order), empty: first > last}
}

// within restricts the ids to first through last.
func (q *fileQuery) within(first, last int64) {
	first, last = max(first, q.args[0].(int64)), min(last, q.args[1].(int64))
	q.args[0], q.args[1], q.empty = first, last, first > last
}

// read adds a branch: the files whose columns have the values. Comparing rows instead of
// columns makes only the index on exactly these columns usable for the order. All branches must
// be added before the filters.
func (q *fileQuery) read(columns []string, values ...any) {
	var low []string
	for _, value := range values {
		low = append(low, q.arg(value))
	}
	keys := append(slices.Clone(columns), "f.id")
	row, at := strings.Join(keys, ", "), strings.Join(append(low, ""), ", ")
	q.branches = append(q.branches, branch{
		where: fmt.Sprintf("(%[1]s) >= (%[2]s$1::bigint) AND (%[1]s) <= (%[2]s$2::bigint)", row, at),
		keys:  keys,
	})
	q.indexed = len(q.args)
}

// rows returns a query for at most limit rows of a branch, in order.
func (q *fileQuery) rows(b branch, columns string, limit int) string {
	return fmt.Sprintf("(SELECT %s FROM files f WHERE %s ORDER BY %s LIMIT %d)", columns, b.where, q.orderBy(b), limit)
}

func (q *fileQuery) orderBy(b branch) string {
	return strings.Join(b.keys, " "+q.order+", ") + " " + q.order
}

// each returns the union of a query per branch.
func (q *fileQuery) each(query func(b branch) string) string {
	var all []string
	for _, b := range q.branches {
		all = append(all, query(b))
	}
	return strings.Join(all, " UNION ALL ")
}

// page returns a query for at most limit files. With filters, the id range must leave at most
// scan files per branch.
func (q *fileQuery) page(limit, scan int) string {
	rows := q.each(func(b branch) string {
		if len(q.filters) == 0 {
			return q.rows(b, "f.*", limit)
		}
		return fmt.Sprintf("(SELECT * FROM %s f WHERE %s ORDER BY %s LIMIT %d)", q.rows(b, "f.*", scan), q.where(), q.orderBy(b), limit)
	})
	return fmt.Sprintf("SELECT %s FROM (SELECT * FROM (%s) f ORDER BY f.id %s LIMIT %d) f JOIN sftp_servers s ON s.server_uuid = f.server_uuid ORDER BY f.id %s",
		fileColumns, rows, q.order, limit, q.order)
}

// edge returns a query for the id up to which every branch has at most scan files; NULL when no
// branch has more.
func (q *fileQuery) edge(scan int) string {
	nearest := "min"
	if q.order == direction(ingest.OrderNewest) {
		nearest = "max"
	}
	return fmt.Sprintf("SELECT %s(id) FROM (%s) f", nearest, q.each(func(b branch) string {
		return fmt.Sprintf("(SELECT id FROM %s f OFFSET %d)", q.rows(b, "f.id", scan), scan-1)
	}))
}

// count returns a query for the number of matching files, and for the largest number of files
// examined in one branch.
func (q *fileQuery) count(limit, scan int) string {
	return "SELECT sum(matched)::bigint, max(examined) FROM (" + q.each(func(b branch) string {
		if len(q.filters) == 0 {
			return fmt.Sprintf("(SELECT count(*) AS matched, 0 AS examined FROM %s f)", q.rows(b, "f.id", limit))
		}
		return fmt.Sprintf("(SELECT count(*) FILTER (WHERE %s) AS matched, count(*) AS examined FROM %s f)", q.where(), q.rows(b, "f.*", scan))
	}) + ") f"
}

// share returns the number of files that each branch may examine.
func (q *fileQuery) share(scan int) int {
	if q.selective {
		return maxCandidates
	}
	return scan / len(q.branches)
}

func direction(order ingest.FileOrder) string {
	if order == ingest.OrderNewest {
		return "DESC"
	}
	return "ASC"
}

// fileQuery translates the filter.
func (s *Store) fileQuery(ctx context.Context, filter ingest.FileFilter) (*fileQuery, error) {
	filter, err := s.exactSearch(ctx, filter)
	if err != nil {
		return nil, err
	}
	server := ""
	if filter.Server != "" {
		if server, err = s.ServerUUID(ctx, filter.Server); err != nil {
			return nil, err
		}
	}
	first, last, err := s.idsOf(ctx, filter)
	q := newFileQuery(filter.Order, first, last)
	if err != nil || q.empty {
		return q, err
	}
	found, err := s.candidates(ctx, filter)
	if err != nil {
		return nil, err
	}
	q.within(found.first, found.last)
	switch {
	case found.complete:
		q.selective = true
		q.read(nil)
		q.branches[0].where += " AND f.id = ANY (" + q.arg(found.ids) + "::bigint[])"
		q.indexed = len(q.args)
		q.restrict(server, filter.Statuses, filter.Hash)
	case filter.Left:
		q.read(nil)
		q.branches[0].where += " AND f.source_left IS NOT NULL" // matches the partial index
		q.restrict(server, filter.Statuses, filter.Hash)
	case filter.Hash != "":
		q.read([]string{"f.file_hash"}, filter.Hash)
		q.branches[0].where += " AND f.file_hash IS NOT NULL" // matches the partial index
		q.restrict(server, filter.Statuses, "")
	default:
		q.readStatuses(server, filter.Statuses)
	}
	q.check(filter)
	return q, nil
}

// readStatuses adds one branch per status: no index holds several statuses in order of id.
func (q *fileQuery) readStatuses(server string, statuses []ingest.Status) {
	var columns []string
	var values []any
	if server != "" {
		columns, values = []string{"f.server_uuid"}, []any{server}
	}
	if len(statuses) == 0 {
		q.read(columns, values...)
	}
	seen := map[ingest.Status]bool{}
	for _, status := range statuses {
		if !seen[status] {
			q.read(append(slices.Clone(columns), "f.status"), append(slices.Clone(values), string(status))...)
		}
		seen[status] = true
	}
}

// planned adds the option that plans the query for these arguments: a generic plan suits only
// the average status or server.
func planned(args []any) []any { return append([]any{pgx.QueryExecModeCacheDescribe}, args...) }
