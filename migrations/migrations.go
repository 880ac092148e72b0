// Package migrations holds the database schema as goose SQL files, numbered in
// the order in which they build on each other. A file that has been released
// is never edited: a change is another file.
package migrations

import "embed"

// Files are the migrations, at the root of the file system.
//
//go:embed *.sql
var Files embed.FS
