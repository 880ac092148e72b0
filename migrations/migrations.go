// Package migrations holds the database schema as numbered goose SQL files, one for each part
// of the schema. A released file is never changed in effect: a change is a new file.
//
// Numbers begin at 101, because releases before 0.3 used lower ones. A database without the
// first file is refused.
package migrations

import "embed"

// Files are the migrations, at the root of the file system.
//
//go:embed *.sql
var Files embed.FS
