// Package ingest is the domain of stevedore: servers, files and their states,
// events and ledger changes, identifiers shared with other systems, and kinds of
// errors. It imports only the standard library, so that every other package can
// use it without importing a driver.
package ingest
