package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"stevedore/internal/ingest"
)

const (
	gap       = 2
	shortUUID = 8
	minColumn = 8
)

// fixedColumns are never clipped; words in colouredColumns are painted.
var (
	fixedColumns    = []string{"UUID", "SIZE", "STATUS", "STATE", "HEALTH", "UPDATED", "ACTION"}
	colouredColumns = []string{"STATUS", "STATE", "HEALTH", "OUTCOME"}
	// minorColumns are the first ones to be left out.
	minorColumns = []string{"BY", "EXCLUDED", "SETTLING", "SEEN", "ROLE"}
)

// table aligns cells in columns. On a terminal it fits the width: uuids are short,
// empty columns are left out, and wide cells are clipped. A pipe gets complete cells.
//
// Libraries such as go-pretty and lipgloss align cells too, which takes 20 lines here.
// The rest would remain: fixed and omitted columns, and paths clipped in the middle.
type table struct {
	width  int
	colour bool
	blocks []block
}

// block is a part of a table with columns of its own. With titles, these are the first
// row; otherwise it is a list of names and values.
type block struct {
	titled bool
	rows   [][]string
}

// cell is the text of a row in the column with the title.
type cell struct{ title, text string }

func (a *app) newTable() *table { return &table{width: a.width(), colour: a.coloured()} }

// width returns the width of the terminal at stdout, and 0 for a pipe.
func (a *app) width() int {
	if a.stdoutSize == nil {
		return 0
	}
	width, _ := a.stdoutSize()
	return width
}

// begin begins a block of the rows.
func (t *table) begin(rows ...[]string) { t.blocks = append(t.blocks, block{rows: rows}) }

// text adds a line of text in a block of its own.
func (t *table) text(format string, args ...any) { t.begin([]string{fmt.Sprintf(format, args...)}) }

// row adds a row without titles, usually a name and its value.
func (t *table) row(cells ...string) {
	if len(t.blocks) == 0 {
		t.begin()
	}
	last := &t.blocks[len(t.blocks)-1]
	last.rows = append(last.rows, cells)
}

// optional adds the name and its value unless that is empty.
func (t *table) optional(name, value string) {
	if value != "" {
		t.row(name, safe(value))
	}
}

// cells adds a row to the block with its titles.
func (t *table) cells(cells ...cell) {
	titles, texts := make([]string, len(cells)), make([]string, len(cells))
	for i, c := range cells {
		titles[i], texts[i] = c.title, c.text
	}
	if n := len(t.blocks); n == 0 || !t.blocks[n-1].titled {
		t.blocks = append(t.blocks, block{titled: true, rows: [][]string{titles}})
	}
	t.row(texts...)
}

// print writes the blocks. It returns the error of the writer.
func (t *table) print(w io.Writer) error {
	var out bytes.Buffer
	for _, b := range t.blocks {
		columns := columnsOf(b.rows)
		if t.width > 0 && b.titled {
			columns = fit(columns, t.width)
		}
		for r := range b.rows {
			var line strings.Builder
			for _, c := range columns {
				text := c.texts[r]
				padding := runewidth.FillRight(text, c.width+gap)[len(text):]
				if t.colour && b.titled && slices.Contains(colouredColumns, c.texts[0]) {
					text = paint(text)
				}
				line.WriteString(text + padding)
			}
			out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// column has a text for each row of a block; the first one of a titled block is the title.
type column struct {
	texts []string
	width int
}

func columnsOf(rows [][]string) (columns []column) {
	for r, cells := range rows {
		for i, text := range cells {
			if i == len(columns) {
				columns = append(columns, column{texts: make([]string, len(rows))})
			}
			columns[i].texts[r], columns[i].width = text, max(columns[i].width, runewidth.StringWidth(text))
		}
	}
	return columns
}

// empty reports whether the column holds only dashes below its title.
func (c column) empty() bool {
	return !slices.ContainsFunc(c.texts[1:], func(text string) bool { return text != "-" && text != "" })
}

// clip shortens the texts to the width.
func (c column) clip() {
	for r, text := range c.texts {
		switch c.texts[0] {
		case "UUID":
			c.texts[r] = runewidth.Truncate(text, c.width, "")
		case "PATH":
			c.texts[r] = clipPath(text, c.width)
		default:
			c.texts[r] = runewidth.Truncate(text, c.width, "…")
		}
	}
}

// fit returns the columns for a terminal of the width. The widest columns are clipped
// first; then minor columns are left out, and at last those at the end.
func fit(columns []column, width int) []column {
	columns = slices.DeleteFunc(columns, column.empty)
	total := -gap
	for i := range columns {
		if columns[i].texts[0] == "UUID" {
			columns[i].width = shortUUID
		}
		total += columns[i].width + gap
	}
	for ; total > width; total-- {
		var widest *column
		for i, c := range columns {
			if c.width > minColumn && !slices.Contains(fixedColumns, c.texts[0]) && (widest == nil || c.width > widest.width) {
				widest = &columns[i]
			}
		}
		if widest == nil {
			break
		}
		widest.width--
	}
	for total > width && len(columns) > 1 {
		least := len(columns) - 1
		for _, minor := range slices.Backward(minorColumns) {
			if i := slices.IndexFunc(columns, func(c column) bool { return c.texts[0] == minor }); i >= 0 {
				least = i
			}
		}
		total -= columns[least].width + gap
		columns = slices.Delete(columns, least, least+1)
	}
	for _, c := range columns {
		c.clip()
	}
	return columns
}

// clipPath shortens a path in the middle, so that the name of the file stays.
func clipPath(path string, width int) string {
	if runewidth.StringWidth(path) <= width {
		return path
	}
	name := path[strings.LastIndex(path, "/")+1:]
	if folder := width - runewidth.StringWidth(name) - 2; folder > 0 {
		return runewidth.Truncate(path, folder, "") + "…/" + name
	}
	head := (width - 1) / 2
	tail := width - 1 - head
	return runewidth.Truncate(name, head, "") + "…" + runewidth.TruncateLeft(name, runewidth.StringWidth(name)-tail, "")
}

// coloured reports whether stdout shows colours: it is a terminal, and the environment
// does not refuse them, see https://no-color.org.
func (a *app) coloured() bool {
	refused := func(variable string) bool {
		value, ok := strings.CutPrefix(variable, "NO_COLOR=")
		return ok && value != "" || variable == "TERM=dumb"
	}
	return a.width() > 0 && !slices.ContainsFunc(a.environ, refused)
}

// paint colours a status or state.
func paint(word string) string {
	var colour string
	health := ingest.HealthOf(word)
	switch {
	case word == string(ingest.StatusError), word == string(ingest.StatusRejected), word == "revoked", word == "failed", health.NeedsOperator():
		colour = "31" // red
	case word == string(ingest.StatusCompleted), health == ingest.HealthOK, word == "valid", word == string(ingest.ActionDone):
		colour = "32" // green
	case health == ingest.HealthPaused, health == ingest.HealthNotScanned, word == "expired", word == string(ingest.StatusSkipped),
		word == string(ingest.StatusVanished):
		colour = "33" // yellow
	default:
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
