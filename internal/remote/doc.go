// Package remote does what package admin does, by asking a running API: for
// people who have a token and no way to the database. Its errors are of the
// kinds that admin's are, so that a script sees the same exit codes.
package remote
