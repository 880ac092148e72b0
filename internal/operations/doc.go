// Package operations implements the actions of operators: manage and test servers, start
// scans and audits, list files and act on them. The API and the console are thin layers
// over it. It does not depend on HTTP.
//
// Errors that an operator can act on are ingest.Errors whose message includes the remedy.
package operations
