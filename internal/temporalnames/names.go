// Package temporalnames has the names by which all processes find task queues, schedules,
// workflows and search attributes in Temporal.
package temporalnames

import "strings"

// Task queue, schedules and search attributes.
const (
	// TaskQueue is the task queue of workflows and of activities that need no staging.
	TaskQueue = "stevedore"
	// ScheduleID is the id of the Temporal Schedule that scans all servers.
	ScheduleID = "scan-all-servers"
	// ReconcileScheduleID is the id of the Temporal Schedule for reconciliation.
	ReconcileScheduleID = "reconcile"
	// SearchServer, SearchStatus (Keyword) and SearchSize (Int, bytes) are the
	// custom search attributes of FileIngest.
	SearchServer = "StevedoreServer"
	SearchStatus = "StevedoreStatus"
	SearchSize   = "StevedoreSize"
)

const (
	hostPrefix    = TaskQueue + "-host-"
	uploadSuffix  = "-uploads"
	cleanupSuffix = "-cleanup"
)

// HostQueue returns the task queue for downloads of the worker whose staging
// volume has the id. Downloads, uploads and cleanup have separate queues, so that
// none waits behind another.
func HostQueue(hostID string) string { return hostPrefix + hostID }

// HostID returns the staging volume's id from the name of a HostQueue.
func HostID(hostQueue string) string { return strings.TrimPrefix(hostQueue, hostPrefix) }

// UploadQueue returns the task queue for uploads and verification on the same worker.
func UploadQueue(hostQueue string) string { return hostQueue + uploadSuffix }

// CleanupQueue returns the task queue for cleanup on the same worker.
func CleanupQueue(hostQueue string) string { return hostQueue + cleanupSuffix }

// TransferQueue returns the task queue for direct transfers of the workers that
// share sharedQueue. A separate queue bounds the number of transfers of each
// worker.
func TransferQueue(sharedQueue string) string { return sharedQueue + "-transfers" }

// DiscoverWorkflowID returns the workflow id of DiscoverFiles for a server.
func DiscoverWorkflowID(serverUUID string) string { return "discover/" + serverUUID }

// IngestWorkflowID returns the workflow id of FileIngest for a file version.
func IngestWorkflowID(fileUUID string) string { return "ingest/" + fileUUID }

// AuditWorkflowID returns the workflow id of an audit run.
func AuditWorkflowID(runUUID string) string { return "audit/" + runUUID }

// ScanWorkflowID returns the workflow id of a scan requested through the API.
func ScanWorkflowID(requestUUID string) string { return "scan/" + requestUUID }
