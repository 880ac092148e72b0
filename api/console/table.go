package console

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"stevedore/internal/ingest"
)

// row is a row of a table. A click on it opens href unless it is empty. busy marks rows
// that change soon.
type row struct {
	id, href string
	busy     bool
	cells    []cell
}

// cell is a cell of a table and the label of its column. The class "num" aligns numbers,
// "tick" hides the label.
type cell struct {
	label, class string
	content      templ.Component
}

// rowsOf returns a row of a table, or another value, for each item.
func rowsOf[T, R any](items []T, rowOf func(T) R) []R {
	rows := make([]R, len(items))
	for i, item := range items {
		rows[i] = rowOf(item)
	}
	return rows
}

// number returns a cell with a number.
func (v *view) number(label string, n int64) cell {
	return cell{label, "num", text(v.T("%d", n))}
}

// optional returns the content, or nil for an empty cell, which phones hide.
func optional(shown bool, content templ.Component) templ.Component {
	if !shown {
		return nil
	}
	return content
}

// breaks inserts breaks of a line after the separators of paths, hosts and names.
var breaks = strings.NewReplacer("/", "/<wbr>", "_", "_<wbr>", "-", "-<wbr>", ".", ".<wbr>", "@", "@<wbr>")

// breakable shows a text whose lines break after separators first. Entities have none.
func breakable(s string) templ.Component { return templ.Raw(breaks.Replace(templ.EscapeString(s))) }

// live returns the attributes of an element that scripts reload after each change.
func (v *view) live(id string) templ.Attributes {
	return templ.Attributes{"id": id, "data-live": true, "hx-get": v.url.RequestURI(), "hx-select": "#" + id, "hx-trigger": "live from:body", "hx-swap": "morph:outerHTML"}
}

// at returns the URL of the page at a position of the list; 0 is the first page.
func (v *view) at(param string, position int64) string {
	q := query{v.url.Query()}
	q.Del(param)
	if position != 0 {
		q.Set(param, strconv.FormatInt(position, 10))
	}
	for field := range q.Values {
		q.keep(field, func(value string) bool { return value != "" })
	}
	return q.href(v.url.Path)
}

// positionOf returns the position in the request's list; 0 for the first page.
func positionOf(u *url.URL, param string) int64 {
	position, err := strconv.ParseInt(u.Query().Get(param), 10, 64)
	if err != nil || position < 0 {
		return 0
	}
	return position
}

// query is the filter of a list, as encoded in its URL, without empty values.
type query struct{ url.Values }

// readQuery returns the values of the fields, without spaces around them.
func readQuery(values url.Values, fields []string) query {
	q := query{url.Values{}}
	for _, field := range fields {
		for _, value := range values[field] {
			if value = strings.Trim(value, " "); value != "" && !slices.Contains(q.Values[field], value) {
				q.Add(field, value)
			}
		}
	}
	return q
}

// empty reports whether there is no filter.
func (q query) empty() bool { return len(q.Values) == 0 }

// href returns the URL of the filtered list.
func (q query) href(path string) string {
	if q.empty() {
		return path
	}
	return path + "?" + q.Encode()
}

// minute is the format of datetime-local fields; times are in UTC.
const minute = "2006-01-02T15:04"

// times returns the bounds "from" and "to".
func (q query) times() (from, to time.Time, err error) {
	for field, bound := range map[string]*time.Time{"from": &from, "to": &to} {
		if !q.Has(field) {
			continue
		}
		if *bound, err = time.Parse(minute, q.Get(field)); err != nil {
			return from, to, newError(ingest.KindInvalid, nil, "Use a time such as 2026-01-31T08:00.")
		}
	}
	return from, to, nil
}

// keep removes unknown values of a field.
func (q query) keep(field string, known func(string) bool) {
	q.Values[field] = slices.DeleteFunc(q.Values[field], func(value string) bool { return !known(value) })
	if len(q.Values[field]) == 0 {
		q.Del(field)
	}
}

// utc returns the values with times in RFC 3339.
func (q query) utc() query {
	values := maps.Clone(q.Values)
	for _, field := range []string{"from", "to"} {
		if q.Has(field) {
			values[field] = []string{q.Get(field) + ":00Z"}
		}
	}
	return query{values}
}

// curl returns the API request with the same filter and the name and value of another
// parameter.
func (q query) curl(v *view, path, name, value string) string {
	q = q.utc()
	q.Set(name, value)
	return curl(v, q.href(path))
}

// curl returns the command of an API request.
func curl(v *view, path string) string {
	return `curl -H "Authorization: Bearer $STEVEDORE_TOKEN" ` + quoted(v.origin+path)
}

// cli returns the command with the same filter; flags maps fields to flags of another name.
func (q query) cli(command string, flags map[string]string) string {
	q = q.utc()
	for _, field := range slices.Sorted(maps.Keys(q.Values)) {
		for _, value := range q.Values[field] {
			command += " --" + cmp.Or(flags[field], field) + " " + quoted(value)
		}
	}
	return command
}
