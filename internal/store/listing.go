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
	// pageLooks and countLooks bound how many files are looked at for one page
	// or count when no index knows which of them fit.
	pageLooks  = 5_000
	countLooks = 8_000
	// lastID is above every id.
	lastID = int64(1)<<62 - 1
)

// listing is a filter as the database is asked for it. Which index serves it is
// decided here and not by the planner, which takes the files of a server or a
// folder to be spread evenly, and would go through all others when they lie at
// the far end. Reading an index in its order ends with the page; rest is checked
// on a bounded number of what the index gives.
type listing struct {
	order string
	// branches each read one index, whose columns before the id have one value.
	branches []branch
	rest     []string
	// args begin with the first and last id.
	args []any
	// indexed is how many of args are those of branches; the others follow.
	indexed int
	// few says that branches have few rows, however many rest refuses.
	few bool
	// none says that no file can fit.
	none bool
}

// branch is the range of one index.
type branch struct {
	where string
	// keys are the columns of the index.
	keys []string
}

func newListing(order ingest.FileOrder, first, last int64) *listing {
	return &listing{order: direction(order), args: []any{first, last}, none: first > last}
}

// within leaves out the ids before first and after last.
func (l *listing) within(first, last int64) {
	first, last = max(first, l.args[0].(int64)), min(last, l.args[1].(int64))
	l.args[0], l.args[1], l.none = first, last, first > last
}

// arg adds an argument and returns its placeholder.
func (l *listing) arg(value any) string {
	l.args = append(l.args, value)
	return fmt.Sprintf("$%d", len(l.args))
}

// read adds a branch: the files of which the columns have the values. As rows are
// compared, and not columns, only the index on these very columns has the order.
// All branches must be there before rest gets its arguments.
func (l *listing) read(columns []string, values ...any) {
	var low []string
	for _, value := range values {
		low = append(low, l.arg(value))
	}
	keys := append(slices.Clone(columns), "f.id")
	row, at := strings.Join(keys, ", "), strings.Join(append(low, ""), ", ")
	l.branches = append(l.branches, branch{
		where: fmt.Sprintf("(%[1]s) >= (%[2]s$1::bigint) AND (%[1]s) <= (%[2]s$2::bigint)", row, at),
		keys:  keys,
	})
	l.indexed = len(l.args)
}

// rows selects columns of at most so many rows of a branch, in order.
func (l *listing) rows(b branch, columns string, limit int) string {
	return fmt.Sprintf("(SELECT %s FROM files f WHERE %s ORDER BY %s LIMIT %d)", columns, b.where, l.by(b), limit)
}

func (l *listing) by(b branch) string { return strings.Join(b.keys, " "+l.order+", ") + " " + l.order }

// each selects something of every branch.
func (l *listing) each(query func(b branch) string) string {
	var all []string
	for _, b := range l.branches {
		all = append(all, query(b))
	}
	return strings.Join(all, " UNION ALL ")
}

// page selects at most so many files. Where there is a rest, the first and last
// id must leave no more than looks files to each branch.
func (l *listing) page(limit, looks int) string {
	rows := l.each(func(b branch) string {
		if len(l.rest) == 0 {
			return l.rows(b, "f.*", limit)
		}
		return fmt.Sprintf("(SELECT * FROM %s f WHERE %s ORDER BY %s LIMIT %d)", l.rows(b, "f.*", looks), l.all(), l.by(b), limit)
	})
	return fmt.Sprintf("SELECT %s FROM (SELECT * FROM (%s) f ORDER BY f.id %s LIMIT %d) f JOIN sftp_servers s ON s.server_uuid = f.server_uuid ORDER BY f.id %s",
		fileColumns, rows, l.order, limit, l.order)
}

func (l *listing) all() string { return strings.Join(l.rest, " AND ") }

// edge selects up to which id no branch has more than looks files; NULL when
// none has more at all.
func (l *listing) edge(looks int) string {
	nearest := "min"
	if l.order == direction(ingest.OrderNewest) {
		nearest = "max"
	}
	return fmt.Sprintf("SELECT %s(id) FROM (%s) f", nearest, l.each(func(b branch) string {
		return fmt.Sprintf("(SELECT id FROM %s f OFFSET %d)", l.rows(b, "f.id", looks), looks-1)
	}))
}

// count selects how many files fit, and how many were looked at in the branch
// that has most.
func (l *listing) count(limit, looks int) string {
	return "SELECT sum(fit)::bigint, max(looked) FROM (" + l.each(func(b branch) string {
		if len(l.rest) == 0 {
			return fmt.Sprintf("(SELECT count(*) AS fit, 0 AS looked FROM %s f)", l.rows(b, "f.id", limit))
		}
		return fmt.Sprintf("(SELECT count(*) FILTER (WHERE %s) AS fit, count(*) AS looked FROM %s f)", l.all(), l.rows(b, "f.*", looks))
	}) + ") f"
}

// share returns how many files each branch may look at.
func (l *listing) share(looks int) int {
	if l.few {
		return maxCandidates
	}
	return looks / len(l.branches)
}

func direction(order ingest.FileOrder) string {
	if order == ingest.OrderNewest {
		return "DESC"
	}
	return "ASC"
}

// listing makes one of the filter.
func (s *Store) listing(ctx context.Context, filter ingest.FileFilter) (*listing, error) {
	server := ""
	if filter.Server != "" {
		found, err := s.serverNamed(ctx, filter.Server)
		if err != nil {
			return nil, err
		}
		server = found.UUID
	}
	first, last, err := s.idsOf(ctx, filter)
	l := newListing(filter.Order, first, last)
	if err != nil || l.none {
		return l, err
	}
	found, err := s.candidates(ctx, filter)
	if err != nil {
		return nil, err
	}
	l.within(found.first, found.last)
	switch {
	case found.few:
		l.few = true
		l.read(nil)
		l.branches[0].where += " AND f.id = ANY (" + l.arg(found.ids) + "::bigint[])"
		l.indexed = len(l.args)
		l.restrict(server, filter.Statuses, filter.Hash)
	case filter.Left:
		l.read(nil)
		l.branches[0].where += " AND f.source_left IS NOT NULL" // as its index says
		l.restrict(server, filter.Statuses, filter.Hash)
	case filter.Hash != "":
		l.read([]string{"f.file_hash"}, filter.Hash)
		l.branches[0].where += " AND f.file_hash IS NOT NULL" // as the index says
		l.restrict(server, filter.Statuses, "")
	default:
		l.readStatuses(server, filter.Statuses)
	}
	l.check(filter)
	return l, nil
}

// readStatuses reads one index range for each status: no index has the files of
// several statuses in order of id.
func (l *listing) readStatuses(server string, statuses []ingest.Status) {
	var columns []string
	var values []any
	if server != "" {
		columns, values = []string{"f.server_uuid"}, []any{server}
	}
	if len(statuses) == 0 {
		l.read(columns, values...)
	}
	seen := map[ingest.Status]bool{}
	for _, status := range statuses {
		if !seen[status] {
			l.read(append(slices.Clone(columns), "f.status"), append(slices.Clone(values), string(status))...)
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
	if filter.Left {
		l.rest = append(l.rest, isLeft)
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
