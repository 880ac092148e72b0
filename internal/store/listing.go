package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

const (
	// pageLooks and countLooks bound how many files are looked at for one page
	// or count when no index knows which of them fit.
	pageLooks  = 10_000
	countLooks = 20_000
	// lastID is above every id.
	lastID = int64(1)<<62 - 1
)

// listing is a filter as the database is asked for it. Which index serves it is
// decided here and not by the planner, which cannot know that files of a folder
// or of a day lie together: conditions of source are those that an index gives in
// order of id, so that reading ends with the page; rest is checked on what
// source gives.
type listing struct {
	order string
	// branches each read one index; their rows are merged. At least one.
	branches []string
	rest     []string
	args     []any
	// indexed is how many of args are those of branches; the others follow.
	indexed int
	// few says that source itself has few rows, however many rest refuses.
	few bool
	// none says that no file can fit.
	none bool
}

// arg adds an argument and returns its placeholder.
func (l *listing) arg(value any) string {
	l.args = append(l.args, value)
	return fmt.Sprintf("$%d", len(l.args))
}

// source selects the columns of at most so many rows, in order.
func (l *listing) source(columns string, limit int64) string {
	var parts []string
	for _, branch := range l.branches {
		parts = append(parts, fmt.Sprintf("(SELECT %s FROM files f WHERE %s ORDER BY f.id %s LIMIT %d)", columns, branch, l.order, limit))
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return fmt.Sprintf("(SELECT * FROM (%s) f ORDER BY f.id %s LIMIT %d)", strings.Join(parts, " UNION ALL "), l.order, limit)
}

// page selects at most so many files.
func (l *listing) page(limit int64) string {
	rows := l.source("f.*", limit)
	if len(l.rest) > 0 {
		rows = fmt.Sprintf("(SELECT * FROM %s f WHERE %s ORDER BY f.id %s LIMIT %d)",
			l.source("f.*", l.looks(pageLooks)), strings.Join(l.rest, " AND "), l.order, limit)
	}
	return fmt.Sprintf("SELECT %s FROM %s f JOIN sftp_servers s ON s.server_uuid = f.server_uuid ORDER BY f.id %s", fileColumns, rows, l.order)
}

// edge selects the last file that page looked at, if there may be more.
func (l *listing) edge() string {
	return fmt.Sprintf("SELECT id FROM %s f ORDER BY id %s OFFSET %d", l.source("f.id", pageLooks), l.order, pageLooks-1)
}

// count selects how many files fit and how many were looked at.
func (l *listing) count(limit int64) string {
	if len(l.rest) == 0 {
		return "SELECT count(*), 0 FROM " + l.source("f.id", limit) + " f"
	}
	return fmt.Sprintf("SELECT count(*) FILTER (WHERE %s), count(*) FROM %s f", strings.Join(l.rest, " AND "), l.source("f.*", l.looks(countLooks)))
}

func (l *listing) looks(most int64) int64 {
	if l.few {
		return maxCandidates
	}
	return most
}

func direction(order ingest.FileOrder) string {
	if order == ingest.OrderNewest {
		return "DESC"
	}
	return "ASC"
}

// listing makes one of the filter.
func (s *Store) listing(ctx context.Context, filter ingest.FileFilter) (*listing, error) {
	l := &listing{order: direction(filter.Order)}
	server := ""
	if filter.Server != "" {
		found, err := s.ServerByName(ctx, filter.Server)
		if err != nil {
			return nil, err
		}
		server = found.UUID
	}
	first, last, err := s.idsOf(ctx, filter)
	if err != nil || first > last {
		l.none = true
		return l, err
	}
	candidates, few, err := s.candidates(ctx, filter.Path)
	if err != nil {
		return nil, err
	}
	ids := fmt.Sprintf("f.id BETWEEN %s AND %s", l.arg(first), l.arg(last))
	switch {
	case few:
		l.few = true
		l.read(ids + " AND f.id = ANY (" + l.arg(candidates) + "::bigint[])")
		l.restrict(server, filter.Statuses, filter.Hash)
	case filter.Hash != "":
		l.read(ids + " AND f.file_hash = " + l.arg(filter.Hash))
		l.restrict(server, filter.Statuses, "")
	default:
		l.readStatuses(ids, server, filter.Statuses)
	}
	l.check(filter)
	return l, nil
}

// read adds a branch. All must be there before rest gets its arguments.
func (l *listing) read(branch string) {
	l.branches = append(l.branches, branch)
	l.indexed = len(l.args)
}

// readStatuses reads one index range for each status: no index has the files of
// several statuses in order of id.
func (l *listing) readStatuses(ids, server string, statuses []ingest.Status) {
	if server != "" {
		ids += " AND f.server_uuid = " + l.arg(server)
	}
	if len(statuses) == 0 {
		l.read(ids)
	}
	seen := map[ingest.Status]bool{}
	for _, status := range statuses {
		if !seen[status] {
			l.read(ids + " AND f.status = " + l.arg(string(status)))
		}
		seen[status] = true
	}
}

// restrict checks what the chosen index does not know.
func (l *listing) restrict(server string, statuses []ingest.Status, hash string) {
	if server != "" {
		l.rest = append(l.rest, "f.server_uuid = "+l.arg(server))
	}
	if len(statuses) > 0 {
		l.rest = append(l.rest, "f.status = ANY ("+l.arg(statusNames(statuses))+")")
	}
	if hash != "" {
		l.rest = append(l.rest, "f.file_hash = "+l.arg(hash))
	}
}

// check looks at what no index has in order of id.
func (l *listing) check(filter ingest.FileFilter) {
	if filter.Path != "" {
		l.rest = append(l.rest, "f.remote_path ~ "+l.arg(globPattern(cleanText(filter.Path))))
	}
	if !filter.From.IsZero() {
		l.rest = append(l.rest, "f.created_at >= "+l.arg(filter.From))
	}
	if !filter.To.IsZero() {
		l.rest = append(l.rest, "f.created_at < "+l.arg(filter.To))
	}
}

// planned makes the database plan for these very arguments: a plan for any
// would be made for the average status or server.
func planned(args []any) []any { return append([]any{pgx.QueryExecModeCacheDescribe}, args...) }

// FilesPage returns a page of the files that the filter selects, in its order.
// It looks at a bounded number of files, see ingest.FilePage. A server that does
// not exist is KindMissing.
func (s *Store) FilesPage(ctx context.Context, filter ingest.FileFilter) (page ingest.FilePage, err error) {
	l, err := s.listing(ctx, filter)
	if err != nil || l.none {
		return page, err
	}
	limit := pageSize(filter.Limit)
	err = s.retry(ctx, "list files", func() error {
		// In one snapshot, so that nothing comes between the page and its edge.
		return pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) error {
			page, err = l.fetch(ctx, tx, limit)
			return err
		})
	})
	return page, err
}

var snapshot = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}

func (l *listing) fetch(ctx context.Context, tx pgx.Tx, limit int) (page ingest.FilePage, err error) {
	rows, err := tx.Query(ctx, l.page(int64(limit)+1), planned(l.args)...) // one more tells whether another page follows
	if err != nil {
		return page, err
	}
	if page.Files, err = pgx.CollectRows(rows, scanFile); err != nil {
		return page, err
	}
	if len(page.Files) > limit {
		page.Files = page.Files[:limit]
		page.Next = page.Files[limit-1].ID
		return page, nil
	}
	if len(l.rest) == 0 || l.few {
		return page, nil
	}
	rows, err = tx.Query(ctx, l.edge(), planned(l.args[:l.indexed])...)
	if err != nil {
		return page, err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if len(ids) > 0 {
		page.Next = ids[0]
	}
	return page, err
}

// CountUpTo returns how many files the filter selects, whatever its limit,
// counting at most so many and looking at a bounded number.
func (s *Store) CountUpTo(ctx context.Context, filter ingest.FileFilter, limit int64) (count ingest.Count, err error) {
	filter.AfterID = 0
	l, err := s.listing(ctx, filter)
	if err != nil || l.none {
		return count, err
	}
	err = s.retry(ctx, "count files", func() error {
		var fit, looked int64
		if err := s.pool.QueryRow(ctx, l.count(limit+1), planned(l.args)...).Scan(&fit, &looked); err != nil {
			return err
		}
		count = ingest.Count{N: min(fit, limit), More: fit > limit || looked == countLooks && !l.few}
		return nil
	})
	return count, err
}
