package workflows

import (
	"stevedore/activities"
	"stevedore/internal/ingest"
)

// do refers to activities by method; it is nil and its methods are never called.
var do *activities.Activities

// The registered names of workflows, and the names of their signals, updates and
// queries. Running workflows refer to them: names are only added, never changed or
// reused (a golden test pins the list).
const (
	NameScanAllServers = "ScanAllServers"
	NameDiscoverFiles  = "DiscoverFiles"
	NameFileIngest     = "FileIngest"
	NameReconcile      = "Reconcile"
	NameAuditServers   = "AuditServers"

	// SignalRescan requests another listing from a running DiscoverFiles.
	// Payload: Rescan.
	SignalRescan = "rescan"
	// SignalFileReady notifies DiscoverFiles of a ready file that waits for a slot.
	// Payload: FileReady.
	SignalFileReady = "file-ready"

	// UpdateRetry and UpdateSkip retry or skip a failed file and return whether the action
	// was accepted. Payload: OperatorAction. The signals of the same names do the same
	// without a response, for Temporal's CLI and batches. UpdateRenotify retries only the
	// notification.
	UpdateRetry    = string(ingest.ActionRetry)
	UpdateSkip     = string(ingest.ActionSkip)
	UpdateRenotify = string(ingest.ActionRenotify)
	// UpdateReprocess waits until a completed file is ready again, or returns why it
	// cannot be. It is sent with the start, without payload.
	UpdateReprocess = string(ingest.ActionReprocess)

	// QueryStatus returns an IngestStatus.
	QueryStatus = "status"
)
