package main

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"stevedore/internal/ingest"
)

// format is the format of results on stdout. Everything else goes to stderr.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatJSONL format = "jsonl"
)

// show prints one result: value as JSON, or the table that fill makes.
func (a *app) show(value any, fill func(t *table)) error {
	if a.format != formatTable {
		return a.encode(value)
	}
	t := a.newTable()
	fill(t)
	return t.print(a.stdout)
}

// showText prints one result: value as JSON, or a line of text.
func (a *app) showText(value any, format string, args ...any) error {
	return a.show(value, func(t *table) { t.text(format, args...) })
}

// encode writes one JSON value, on one line as jsonl.
func (a *app) encode(value any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetEscapeHTML(false)
	if a.format == formatJSON {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(value)
}

// list prints results one by one, so that JSON of any length needs no memory.
type list struct {
	app   *app
	table *table
	count int
}

func (a *app) newList() *list { return &list{app: a, table: a.newTable()} }

// add prints one result: value as JSON, or a row of cells.
func (l *list) add(value any, cells ...cell) error {
	l.count++
	switch l.app.format {
	case formatTable:
		l.table.cells(cells...)
		return nil
	case formatJSONL:
		return l.app.encode(value)
	}
	separator := ",\n  "
	if l.count == 1 {
		separator = "[\n  "
	}
	var line strings.Builder
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(l.app.stdout, separator+strings.TrimSuffix(line.String(), "\n"))
	return err
}

// end completes the list. The text for an empty list goes to stderr.
func (l *list) end(empty string) error {
	switch {
	case l.app.format == formatTable && l.count == 0:
		l.app.note("%s", empty)
		return nil
	case l.app.format == formatTable:
		return l.table.print(l.app.stdout)
	case l.app.format == formatJSONL:
		return nil
	}
	end := "\n]\n"
	if l.count == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(l.app.stdout, end)
	return err
}

// printAll prints the items as they arrive: as JSON, or as a table with a row each.
func printAll[T any](a *app, items iter.Seq2[T, error], empty string, cells func(T) []cell) error {
	l := a.newList()
	for item, err := range items {
		if err != nil {
			return err
		}
		if err := l.add(item, cells(item)...); err != nil {
			return err
		}
	}
	return l.end(empty)
}

// collect returns the items before the first error, and that error.
func collect[T any](items iter.Seq2[T, error]) (list []T, _ error) {
	for item, err := range items {
		if err != nil {
			return list, err
		}
		list = append(list, item)
	}
	return list, nil
}

// all returns the items, or the error of the call that returned them.
func all[T any](items []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, item := range items {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var none T
			yield(none, err)
		}
	}
}

// note prints a line for users that is not part of the result.
func (a *app) note(format string, args ...any) {
	fmt.Fprintf(a.stderr, format+"\n", args...)
}

// safe escapes control characters, which could move the cursor or columns.
func safe(text string) string { return ingest.DisplayPath(text) }

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// when returns a time for a cell: on a terminal its distance, which is short.
func (a *app) when(t time.Time) string {
	if a.width() == 0 || t.IsZero() {
		return clock(t)
	}
	distance, unit := a.now().Sub(t), "s"
	ahead := distance < 0
	n := int64(distance.Abs().Seconds())
	for _, larger := range []struct {
		factor int64
		unit   string
	}{{60, "m"}, {60, "h"}, {24, "d"}} {
		if n < 2*larger.factor {
			break
		}
		n, unit = n/larger.factor, larger.unit
	}
	if ahead {
		return fmt.Sprintf("in %d%s", n, unit)
	}
	return fmt.Sprintf("%d%s ago", n, unit)
}

// dash returns the safe text, or "-" for an empty cell.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return safe(text)
}

// nonEmpty returns the texts that are not empty.
func nonEmpty(texts ...string) []string {
	kept := []string{}
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}

// given returns a pointer to the value, and nil for the zero value.
func given[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// givenList returns a pointer to the list, and nil for an empty one.
func givenList[T any](list []T) *[]T {
	if len(list) == 0 {
		return nil
	}
	return &list
}

// value returns the value that the pointer holds; nil is the zero value.
func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}
