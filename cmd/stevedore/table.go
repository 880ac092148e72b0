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
	fixedColumns    = []string{"UUID", "SIZE", "STATUS", "STATE", "UPDATED", "ACTION"}
	colouredColumns = []string{"STATUS", "STATE", "OUTCOME"}
)

// table aligns cells in columns. On a terminal it fits the width: uuids are short,
// empty columns are left out, and wide cells are clipped. A pipe gets complete cells.
type table struct {
	width  int
	colour bool
	blocks []block
}

// block is a part of a table with columns of its own. Without titles it is a list of
// names and values.
type block struct {
	titles []string
	rows   [][]string
}

func (a *app) newTable() *table { return &table{width: a.width(), colour: a.coloured()} }

// width returns the width of the terminal at stdout, and 0 for a pipe.
func (a *app) width() int {
	if a.stdoutSize == nil {
		return 0
	}
	width, _ := a.stdoutSize()
	return width
}

// columns begins a block with the titles.
func (t *table) columns(titles ...string) { t.blocks = append(t.blocks, block{titles: titles}) }

// row adds a row. Before the first columns, cells are a name and its value.
func (t *table) row(cells ...string) {
	if len(t.blocks) == 0 {
		t.columns()
	}
	last := &t.blocks[len(t.blocks)-1]
	last.rows = append(last.rows, cells)
}

// text adds a line of text in a block of its own.
func (t *table) text(format string, args ...any) {
	t.columns()
	t.row(fmt.Sprintf(format, args...))
}

// print writes the blocks. It returns the error of the writer.
func (t *table) print(w io.Writer) error {
	var out bytes.Buffer
	for _, b := range t.blocks {
		for _, line := range t.lines(b) {
			out.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	_, err := w.Write(out.Bytes())
	return err
}

// lines returns the aligned rows of a block.
func (t *table) lines(b block) (lines []string) {
	rows := b.rows
	if b.titles != nil {
		rows = slices.Concat([][]string{b.titles}, rows)
	}
	if t.width > 0 && b.titles != nil {
		rows = fit(rows, t.width)
	}
	widths := columnWidths(rows)
	for _, cells := range rows {
		var line strings.Builder
		for i, cell := range cells {
			padding := ""
			if i < len(cells)-1 {
				padding = strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)+gap)
			}
			if t.colour && b.titles != nil && (slices.Contains(colouredColumns, rows[0][i])) {
				cell = paint(cell)
			}
			line.WriteString(cell + padding)
		}
		lines = append(lines, line.String())
	}
	return lines
}

func columnWidths(rows [][]string) (widths []int) {
	for _, cells := range rows {
		for i, cell := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	return widths
}

// fit returns the rows, the first of which holds the titles, for a terminal of the
// width. The widest columns are clipped first; columns that still do not fit are left
// out at the end.
func fit(rows [][]string, width int) [][]string {
	rows = withoutEmptyColumns(rows)
	for i, title := range rows[0] {
		if title == "UUID" {
			for _, cells := range rows[1:] {
				cells[i] = runewidth.Truncate(cells[i], shortUUID, "")
			}
		}
	}
	widths := columnWidths(rows)
	total := (len(widths) - 1) * gap
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		widest := -1
		for i, w := range widths {
			if w > minColumn && !slices.Contains(fixedColumns, rows[0][i]) && (widest < 0 || w > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	for ; total > width && len(widths) > 1; widths = widths[:len(widths)-1] {
		total -= widths[len(widths)-1] + gap
	}
	for r, cells := range rows {
		rows[r] = cells[:min(len(cells), len(widths))]
		for i, cell := range rows[r] {
			if rows[0][i] == "PATH" {
				rows[r][i] = clipPath(cell, widths[i])
			} else {
				rows[r][i] = runewidth.Truncate(cell, widths[i], "…")
			}
		}
	}
	return rows
}

// withoutEmptyColumns returns copies of the rows without columns that hold only dashes.
func withoutEmptyColumns(rows [][]string) [][]string {
	kept := make([][]string, len(rows))
	for i := range rows[0] {
		filled := func(cells []string) bool { return i < len(cells) && cells[i] != "-" && cells[i] != "" }
		if len(rows) > 1 && !slices.ContainsFunc(rows[1:], filled) {
			continue
		}
		for r, cells := range rows {
			if i < len(cells) {
				kept[r] = append(kept[r], cells[i])
			}
		}
	}
	return kept
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
	switch word {
	case string(ingest.StatusError), string(ingest.StatusRejected), string(ingest.ServerSuspended), stateScanFailed, stateUnpinned, "revoked", "failed":
		colour = "31" // red
	case string(ingest.StatusCompleted), string(ingest.ServerOK), "valid", string(ingest.ActionDone):
		colour = "32" // green
	case statePaused, stateNew, "expired", string(ingest.StatusSkipped), string(ingest.StatusVanished):
		colour = "33" // yellow
	default:
		return word
	}
	return "\x1b[" + colour + "m" + word + "\x1b[0m"
}
