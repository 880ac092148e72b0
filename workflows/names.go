package workflows

import "stevedore/activities"

// do names activities by reference; it is never called.
var do *activities.Activities

// The registered names of workflows, and the names people and other workflows
// use to talk to them. Running workflows refer to them: names are never changed
// or given another meaning, only added (a golden test pins the list).
const (
	NameScanAllServers = "ScanAllServers"
	NameDiscoverFiles  = "DiscoverFiles"
	NameFileIngest     = "FileIngest"
	NameReconcile      = "Reconcile"
	NameAuditServers   = "AuditServers"

	// SignalRescan asks a running DiscoverFiles to list its server again.
	// Payload: Rescan.
	SignalRescan = "rescan"
	// SignalSlotFreed tells DiscoverFiles that a file is ready and waits for a
	// slot. Payload: SlotFreed.
	SignalSlotFreed = "slot-freed"

	// UpdateRetry and UpdateSkip decide on a parked file and say at once
	// whether the decision was taken. Payload: Decision. The signals of the
	// same names do the same without an answer, for use by hand and in batch.
	// UpdateRenotify is a retry of the announcement alone.
	UpdateRetry    = "retry"
	UpdateSkip     = "skip"
	UpdateRenotify = "renotify"
	// UpdateReprocess waits until a file that is to be ingested again is ready, and
	// says why it is not; it is sent with the start. Without payload.
	UpdateReprocess = "reprocess"

	// QueryStatus returns an IngestStatus.
	QueryStatus = "status"
)
