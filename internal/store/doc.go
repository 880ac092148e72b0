// Package store records servers, files, events and scans in PostgreSQL, the ledger. It is the
// only package with SQL.
//
// Every method is idempotent: a transaction that fails with a transient error, including a
// connection lost during commit, runs again from the start and leaves the same rows as a single
// run.
//
// Contents by prefix of the file's name:
//
//	observe, holds, moves   compare a listing with the ledger, record new versions
//	settle, dispatch        make unchanged files ready; reserve slots for them
//	apply, commit, group    claims and status changes, committed in groups
//	file_query, files       lists of files with their conditions and pages
//	events, changes         history of a file; stream of all events (watermark)
//	servers, server_*       settings of servers, suspension, host keys
//	logins, connections     refused passwords and connections, counted over all workers
//	scans, stats, audit     results of scans, counters (fold), audits, the audit log
//	migrate                 schema migrations and the check of the schema's version
//	retry, query, errors    transactions that repeat, helpers for rows, error texts
package store
