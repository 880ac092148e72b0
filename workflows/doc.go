// Package workflows holds stevedore's workflows, one file each:
//
//	ScanAllServers  starts one DiscoverFiles for each due server
//	DiscoverFiles   lists a server, waits until its files settle, runs the dispatcher
//	FileIngest      moves one file version from the server to its notification
//	Reconcile       repairs orphaned files, staging and uploads
//	AuditServers    compares servers, ledger, objects and notifications
//
// Workflow code is deterministic; activities have the side effects. Workflows carry
// ids and counts, never secrets and never lists of files.
package workflows
