// Package scale tests stevedore at scale: many files, many servers, files larger than
// the disk, and long runs. Each test has a small size for `make test` and the documented
// size for `make scale`. Both run the same code, with the same bounds where these do not
// depend on the size.
package scale
