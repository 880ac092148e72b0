package store

import (
	"fmt"
	"strings"

	"stevedore/internal/ingest"
)

// conditions are the parts of a filter as SQL. Only the parts in use become conditions, so that
// each combination gets a plan with the index that serves it.
type conditions struct {
	args    []any
	filters []string
}

// arg adds an argument and returns its placeholder.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return fmt.Sprintf("$%d", len(c.args))
}

// add adds a condition with one argument, whose placeholder replaces %s.
func (c *conditions) add(condition string, value any) {
	c.filters = append(c.filters, fmt.Sprintf(condition, c.arg(value)))
}

// where returns all conditions as one.
func (c *conditions) where() string {
	return strings.Join(append([]string{"true"}, c.filters...), " AND ")
}

// restrict adds the conditions that an index may cover.
func (c *conditions) restrict(server string, statuses []ingest.Status, hash string) {
	if server != "" {
		c.add("f.server_uuid = %s", server)
	}
	if len(statuses) > 0 {
		c.add("f.status = ANY (%s)", statuses)
	}
	if hash != "" {
		c.add("f.file_hash = %s", hash)
	}
}

// isLeft is the condition of FileFilter.Left.
const isLeft = `f.source_left IS NOT NULL AND EXISTS (
	SELECT FROM sftp_servers k WHERE k.server_uuid = f.server_uuid AND k.after_ingest <> 'keep')`

// search adds the condition of FileFilter.Search. strpos, unlike LIKE, has no wildcards.
func (c *conditions) search(text string) {
	if text == "" {
		return
	}
	either := []string{"strpos(lower(f.remote_path), lower(" + c.arg(cleanText(text)) + ")) > 0"}
	if low, high, err := uuidRange(text); err == nil {
		either = append(either, "f.file_uuid BETWEEN "+c.arg(low)+" AND "+c.arg(high))
	}
	if isSHA256(text) {
		either = append(either, "f.file_hash = "+c.arg(strings.ToLower(text)))
	}
	c.filters = append(c.filters, "("+strings.Join(either, " OR ")+")")
}

// check adds the conditions that no index covers in order of id.
func (c *conditions) check(filter ingest.FileFilter) {
	if filter.Path != "" {
		c.add("f.remote_path ~ %s", globPattern(cleanText(filter.Path)))
	}
	c.search(filter.Search)
	if len(filter.ErrorKinds) > 0 {
		c.add("f.error_kind = ANY (%s)", filter.ErrorKinds)
	}
	if len(filter.ErrorSteps) > 0 {
		c.add("f.error_step = ANY (%s)", filter.ErrorSteps)
	}
	if filter.Left {
		c.filters = append(c.filters, isLeft)
	}
	if !filter.From.IsZero() {
		c.add("f.created_at >= %s", filter.From)
	}
	if !filter.To.IsZero() {
		c.add("f.created_at < %s", filter.To)
	}
}
