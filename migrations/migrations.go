// Package migrations holds the database schema as numbered goose SQL files. A released file is
// never changed in effect: a change is a new file.
package migrations

import "embed"

// Files are the migrations, at the root of the file system.
//
//go:embed *.sql
var Files embed.FS
