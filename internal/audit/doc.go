// Package audit compares sources with the ledger, the object store, the notifications
// and the staging folders. Without discrepancies every file arrived exactly once and no
// orphans remain.
//
// checker.go has the rules for one file and one source entry. Check applies them to
// evidence in memory, at the end of tests, when no work is in flight. Auditor applies
// them to streams from a running system.
package audit
