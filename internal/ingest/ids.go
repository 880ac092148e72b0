package ingest

import "strings"

// Names shared by whoever starts, signals or finds a workflow.
const (
	// TaskQueue is where workflows and every activity that needs no staging run.
	TaskQueue = "stevedore"
	// ScheduleID is the Temporal Schedule that scans all servers.
	ScheduleID = "scan-all-servers"
	// ReconcileScheduleID is the one that looks for debris.
	ReconcileScheduleID = "reconcile"
	// SearchServer, SearchStatus (Keyword) and SearchSize (Int, bytes) are the
	// custom search attributes of FileIngest.
	SearchServer = "StevedoreServer"
	SearchStatus = "StevedoreStatus"
	SearchSize   = "StevedoreSize"
)

const (
	hostPrefix   = TaskQueue + "-host-"
	uploadSuffix = "-uploads"
	tidySuffix   = "-tidy"
)

// HostQueue returns the task queue of the worker whose staging volume has the
// id, for downloads. Those that bring bytes in, those that send them out and
// those that clean up have a queue each, so that none waits behind another kind.
func HostQueue(hostID string) string { return hostPrefix + hostID }

// HostID returns the id in a HostQueue.
func HostID(hostQueue string) string { return strings.TrimPrefix(hostQueue, hostPrefix) }

// UploadQueue returns the same host's queue for what reads staged bytes, and
// TidyQueue the one for what removes them.
func UploadQueue(hostQueue string) string { return hostQueue + uploadSuffix }

// TidyQueue returns the host's queue for short work on its staging folder.
func TidyQueue(hostQueue string) string { return hostQueue + tidySuffix }

// TransferQueue returns the task queue for direct transfers of those workers that
// share the queue: a queue of its own bounds how many each of them carries out.
func TransferQueue(sharedQueue string) string { return sharedQueue + "-transfers" }

// DiscoverWorkflowID returns the workflow id of a server's DiscoverFiles.
func DiscoverWorkflowID(serverUUID string) string { return "discover/" + serverUUID }

// IngestWorkflowID returns the workflow id of a file version's FileIngest.
func IngestWorkflowID(fileUUID string) string { return "ingest/" + fileUUID }

// AuditWorkflowID returns the workflow id of an audit.
func AuditWorkflowID(runUUID string) string { return "audit/" + runUUID }

// ScanWorkflowID returns the workflow id of a scan asked for by a person.
func ScanWorkflowID(requestUUID string) string { return "scan/" + requestUUID }

// summaryBytes is Temporal's limit for a static summary.
const summaryBytes = 400

// Summary returns a path as Temporal shows it beside a workflow.
func Summary(path string) string { return truncate(DisplayPath(path), summaryBytes) }
