package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"stevedore/internal/ingest"
)

// format is how results are written to stdout.
type format string

// The formats. JSON goes alone to stdout; everything else goes to stderr.
const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatJSONL format = "jsonl"
)

// Set implements pflag.Value.
func (f *format) Set(text string) error {
	switch format(text) {
	case formatTable, formatJSON, formatJSONL:
		*f = format(text)
		return nil
	}
	return fmt.Errorf("use table, json or jsonl")
}

// String implements pflag.Value.
func (f *format) String() string { return string(*f) }

// Type implements pflag.Value.
func (f *format) Type() string { return "format" }

// printOne writes one result: as JSON, or by the function that tells it to people.
func (a *app) printOne(value any, table func(w io.Writer)) error {
	if a.format == formatTable {
		w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		table(w)
		return w.Flush()
	}
	return a.encode(value)
}

// encode writes one JSON value: indented alone, on one line as jsonl.
func (a *app) encode(value any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	if a.format == formatJSON {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(value)
}

// list writes results one by one, so that a long listing starts at once and
// needs no memory.
type list struct {
	app     *app
	columns []string
	table   *tabwriter.Writer
	count   int
	// painted is the index of the column that is coloured, or -1.
	painted int
}

func (a *app) newList(columns ...string) *list {
	l := &list{app: a, columns: columns, painted: -1}
	if a.coloured() {
		l.painted = slices.IndexFunc(columns, func(c string) bool { return c == "STATUS" || c == "STATE" })
	}
	if a.format == formatTable {
		l.table = tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	}
	return l
}

// add writes one result: value as JSON, or its cells as a row.
func (l *list) add(value any, cells ...string) error {
	l.count++
	switch l.app.format {
	case formatTable:
		if l.count == 1 {
			fmt.Fprintln(l.table, l.row(l.columns))
		}
		fmt.Fprintln(l.table, l.row(cells))
		return nil
	case formatJSON:
		return l.addToArray(value)
	default:
		return l.app.encode(value)
	}
}

func (l *list) row(cells []string) string {
	if l.painted >= 0 {
		cells = slices.Clone(cells)
		cells[l.painted] = paint(cells[l.painted])
	}
	return strings.Join(cells, "\t")
}

func (l *list) addToArray(value any) error {
	before := ",\n  "
	if l.count == 1 {
		before = "[\n  "
	}
	var line strings.Builder
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(l.app.stdout, before+strings.TrimSuffix(line.String(), "\n"))
	return err
}

// end finishes the listing. Where there was nothing, people are told what to
// do next.
func (l *list) end(nothing string) error {
	switch {
	case l.app.format == formatTable:
		if l.count == 0 {
			fmt.Fprintln(l.app.stderr, nothing)
		}
		return l.table.Flush()
	case l.app.format == formatJSON && l.count == 0:
		_, err := io.WriteString(l.app.stdout, "[]\n")
		return err
	case l.app.format == formatJSON:
		_, err := io.WriteString(l.app.stdout, "\n]\n")
		return err
	}
	return nil
}

// note tells people something that is not the result.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// safe makes text from elsewhere harmless in a table: tabs and control
// characters would move columns or the cursor.
func safe(text string) string { return ingest.DisplayPath(text) }

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// dash stands for nothing in a table.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return safe(text)
}
