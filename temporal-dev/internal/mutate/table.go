// Package mutate is mutation testing with a table: it changes the code, one small change
// at a time, and checks that the named tests fail. Tools mutate operators and
// conditions; the table has changes of order and omission, such as a dropped fsync or
// an acknowledgement before the commit.
package mutate

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Mutation is one change of one file.
type Mutation struct {
	// Name describes the fault.
	Name string
	// File is the changed file, relative to the repository.
	File string
	// Old occurs exactly once in the file and is replaced by New. Both are complete
	// lines.
	Old, New string
	// Tests are the arguments of `go test`, one element per run.
	Tests []string
}

// Parse parses a table with a paragraph for each mutation:
//
//	mutation staged data not synced
//	file internal/transfer/saver.go
//	-	if err := s.data.Sync(); err != nil {
//	+	if err := error(nil); err != nil {
//	test ./internal/transfer -run TestA|TestB
//
// Lines that begin with '-' are Old and lines that begin with '+' are New; '#' begins a
// comment.
func Parse(table io.Reader) (all []Mutation, err error) {
	var m *Mutation
	lines := bufio.NewScanner(table)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		if word == "mutation" {
			all = append(all, Mutation{Name: rest})
			m = &all[len(all)-1]
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		switch {
		case m == nil:
			return nil, fmt.Errorf("line %d: before the first mutation", number)
		case line[0] == '-':
			m.Old += line[1:] + "\n"
		case line[0] == '+':
			m.New += line[1:] + "\n"
		case word == "file":
			m.File = rest
		case word == "test":
			m.Tests = append(m.Tests, rest)
		default:
			return nil, fmt.Errorf("line %d: %q: want one of mutation, file, -, +, test", number, word)
		}
	}
	return all, lines.Err()
}

// Apply returns the text of the file after the change. It is an error if Old does not
// occur exactly once, because the code has changed since the table was written.
func (m Mutation) Apply(repo string) (string, error) {
	if m.Name == "" || m.File == "" || m.Old == "" || len(m.Tests) == 0 {
		return "", fmt.Errorf("mutation %q: needs a name, a file, a line to remove and a test", m.Name)
	}
	source, err := os.ReadFile(filepath.Join(repo, m.File))
	if err != nil {
		return "", fmt.Errorf("mutation %q: %w", m.Name, err)
	}
	// With "\n" before the first line, only complete lines match.
	text, old := "\n"+string(source), "\n"+m.Old
	if found := strings.Count(text, old); found != 1 {
		return "", fmt.Errorf("mutation %q: its old text occurs %d times in %s, not once", m.Name, found, m.File)
	}
	return strings.Replace(text, old, "\n"+m.New, 1)[1:], nil
}
