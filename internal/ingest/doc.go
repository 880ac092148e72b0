// Package ingest is the domain of stevedore: what a server, a file and its
// states are, how one file version is named in every system it passes through,
// and which kinds of errors exist. It imports the standard library only, so
// that every other package can speak its language without pulling in a driver.
package ingest
