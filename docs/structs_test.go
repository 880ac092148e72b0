package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestNoStructHoldsATest checks every Go file of the repository: a helper that takes its
// test fails the running one, and a subtest can use what its parent created. The linter
// containedctx checks contexts.
func TestNoStructHoldsATest(t *testing.T) {
	t.Parallel()
	structs := 0
	require.NoError(t, filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".dev", ".git", "bin"}, entry.Name()):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if fields, ok := node.(*ast.StructType); ok {
				structs++
				for _, field := range fields.Fields.List {
					assert.False(t, isTest(field.Type), "%s: pass the test to the methods instead", files.Position(field.Pos()))
				}
			}
			return true
		})
		return nil
	}))
	require.Greater(t, structs, 500, "the files were not found")
}

// isTest reports whether an expression is a type like *testing.T or testing.TB.
func isTest(expr ast.Expr) bool {
	if pointer, ok := expr.(*ast.StarExpr); ok {
		expr = pointer.X
	}
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := selector.X.(*ast.Ident)
	return ok && from.Name == "testing" && slices.Contains([]string{"T", "B", "F", "TB"}, selector.Sel.Name)
}
