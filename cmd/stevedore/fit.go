package main

import (
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"
)

const (
	gap       = 2
	shortUUID = 8
	minColumn = 8
	// minCause and minOther are the widths that columns with causes and other columns
	// keep as long as minor columns can be left out instead.
	minCause, minOther = 40, 16
	// minWrapped is the width below which the last cell of a row is not wrapped.
	minWrapped = 20
)

// fixedColumns are never clipped; words in colouredColumns are painted.
var (
	fixedColumns    = []string{"UUID", "SIZE", "STATUS", "STATE", "HEALTH", "UPDATED", "ACTION"}
	colouredColumns = []string{"STATUS", "STATE", "HEALTH", "OUTCOME"}
	// causeColumns hold sentences that are useless when only their beginning is visible.
	causeColumns = []string{"REASON", "PROGRESS", "EXAMPLE", "RESULT", "LAST ERROR", "DETAILS"}
	// minorColumns are the first ones to be left out.
	minorColumns = []string{"BY", "EXCLUDED", "SETTLING", "SEEN", "ROLE", "SINCE", "SIZE", "UPDATED"}
)

// wrapped returns the rows of the block, with the last cells of prose and of rows with
// titles continued on further rows where they exceed the width.
func (b block) wrapped(width int) (rows [][]string) {
	columns := columnsOf(b.rows)
	last := len(columns) - 1
	for i := range last {
		width -= columns[i].width + gap
	}
	for r, cells := range b.rows {
		if len(cells) <= last || width < minWrapped || !b.titled && !b.prose[r] {
			rows = append(rows, cells)
			continue
		}
		for i, line := range breakLines(cells[last], width) {
			if i > 0 {
				cells = make([]string, len(cells))
			}
			rows = append(rows, append(slices.Clone(cells[:last]), line))
		}
	}
	return rows
}

// breakLines breaks the text between words, and longer words, into lines of the width.
func breakLines(text string, width int) (lines []string) {
	line := ""
	for i, word := range strings.Split(text, " ") {
		if i > 0 && runewidth.StringWidth(line)+1+runewidth.StringWidth(word) <= width {
			line += " " + word
			continue
		}
		if i > 0 {
			lines = append(lines, line)
		}
		for line = word; runewidth.StringWidth(line) > width; {
			head := runewidth.Truncate(line, width, "")
			lines, line = append(lines, head), line[len(head):]
		}
	}
	return append(lines, line)
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

// wanted is the width that the column keeps as long as minor columns can be left out.
func (c column) wanted() int {
	switch {
	case slices.Contains(fixedColumns, c.texts[0]):
		return c.width
	case slices.Contains(causeColumns, c.texts[0]):
		return min(c.width, minCause)
	}
	return min(c.width, minOther)
}

// needed is the width below which the column is not clipped.
func (c column) needed() int {
	if slices.Contains(fixedColumns, c.texts[0]) {
		return c.width
	}
	return min(c.wanted(), minColumn)
}

// total is the width of the columns, each with the given one.
func total(columns []column, width func(column) int) int {
	sum := -gap
	for _, c := range columns {
		sum += width(c) + gap
	}
	return sum
}

// fit returns the columns for a terminal of the width. Minor columns are left out, the
// widest others are clipped, and at last those at the end are left out.
func fit(columns []column, width int) []column {
	columns = slices.DeleteFunc(columns, column.empty)
	for i := range columns {
		if columns[i].texts[0] == "UUID" {
			columns[i].width = shortUUID
		}
	}
	for _, minor := range minorColumns {
		if total(columns, column.wanted) > width {
			columns = slices.DeleteFunc(columns, func(c column) bool { return c.texts[0] == minor })
		}
	}
	for len(columns) > 1 && total(columns, column.needed) > width {
		columns = columns[:len(columns)-1]
	}
	excess := total(columns, func(c column) int { return c.width }) - width
	for _, least := range []func(column) int{column.wanted, column.needed} {
		for ; excess > 0; excess-- {
			var widest *column
			for i, c := range columns {
				if c.width > least(c) && (widest == nil || c.width > widest.width) {
					widest = &columns[i]
				}
			}
			if widest == nil {
				break
			}
			widest.width--
		}
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
