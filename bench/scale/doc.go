// Package scale shows that stevedore keeps its promises at size: many files,
// many servers, files larger than the disk, and long runs. Each test has a small
// size, for `make test`, and the size that is promised, for `make scale`. Both
// run the same code against the same bounds where the bound does not depend on
// the size.
package scale
