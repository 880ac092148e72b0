// Package workflows holds stevedore's durable part, one file per workflow:
//
//	ScanAllServers  starts one DiscoverFiles for each server that is due
//	DiscoverFiles   lists a server, waits until files are whole, starts FileIngest
//	FileIngest      carries one file version from the server to the announcement
//
// Workflow code is deterministic: it decides, activities act. It carries ids
// and counts, never secrets and never lists of files.
package workflows
