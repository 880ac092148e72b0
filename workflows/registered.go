package workflows

// Registered returns every workflow by its registered name.
func Registered() map[string]any {
	return map[string]any{
		NameScanAllServers: ScanAllServers,
		NameDiscoverFiles:  DiscoverFiles,
		NameFileIngest:     FileIngest,
		NameReconcile:      Reconcile,
		NameAuditServers:   AuditServers,
	}
}
