package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"

	"stevedore/internal/ingest"
)

// table aligns cells in columns. On a terminal it fits the width: uuids are short,
// empty columns are left out, and wide cells are clipped. A pipe gets complete cells.
//
// Libraries such as go-pretty and lipgloss align cells too, which takes 20 lines here.
// The rest would remain: fixed and omitted columns, and paths clipped in the middle.
type table struct {
	width  int
	colour bool
	// wraps reports whether the last column of blocks with titles continues on further
	// lines instead of being clipped.
	wraps  bool
	blocks []block
}

// block is a part of a table with columns of its own. With titles, these are the first
// row; otherwise it is a list of names and values.
type block struct {
	titled bool
	rows   [][]string
	// prose has the indices of rows whose last cell continues on further lines of a
	// terminal. Other cells, such as paths, remain on one line, to be copied.
	prose map[int]bool
}

// cell is the text of a row in the column with the title.
type cell struct{ title, text string }

func (a *app) newTable() *table { return &table{width: a.width(), colour: a.coloured()} }

// width returns the width of the terminal at stdout, and 0 for a pipe.
func (a *app) width() int { return a.terminalWidth(a.stdoutSize) }

// terminalWidth returns the width of a terminal of the size: COLUMNS, if it is set, or the
// present width; 0 for a pipe.
func (a *app) terminalWidth(size func() (width, height int)) (width int) {
	if size != nil {
		width, _ = size()
	}
	for _, variable := range a.environ {
		text, _ := strings.CutPrefix(variable, "COLUMNS=")
		if columns, err := strconv.Atoi(text); err == nil && columns > 0 && width > 0 {
			width = columns
		}
	}
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

// prose adds the name and a text that continues on further lines of a terminal, unless
// it is empty.
func (t *table) prose(name, text string) {
	if text == "" {
		return
	}
	t.row(name, safe(text))
	last := &t.blocks[len(t.blocks)-1]
	if last.prose == nil {
		last.prose = map[int]bool{}
	}
	last.prose[len(last.rows)-1] = true
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
		rows := b.rows
		if t.width > 0 && (t.wraps || !b.titled) {
			rows = b.wrapped(t.width)
		}
		columns := columnsOf(rows)
		if t.width > 0 && b.titled {
			columns = fit(columns, t.width)
		}
		for r := range rows {
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
