// Package admin is what operators do with stevedore: set it up, add and test
// servers, ask for scans and look at files. The command line and the REST API
// are two faces of it, so both say and do the same. It knows nothing of flags,
// terminals or HTTP.
//
// Errors that an operator can act on are ingest.Errors whose message says what
// to do.
package operations
