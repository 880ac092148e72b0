package activities

import "maps"

// Registered returns all activities by their registered names.
func (a *Activities) Registered() map[string]any {
	all := a.RegisteredOnHost()
	maps.Copy(all, a.RegisteredShared())
	maps.Copy(all, a.RegisteredTransfers())
	return all
}

// RegisteredShared returns the activities that any worker can run. It includes
// VerifyHash, whose local first attempt may run on the host of the staged bytes.
func (a *Activities) RegisteredShared() map[string]any {
	return map[string]any{
		NameStartScans:      a.StartScans,
		NameTryListing:      a.TryListing,
		NameListServerFiles: a.ListServerFiles,
		NameRecheckSettling: a.RecheckSettling,
		NameDispatchFiles:   a.DispatchFiles,
		NameIngestInMemory:  a.IngestInMemory,
		NameClaimHost:       a.ClaimHost,
		NameCheckHost:       a.CheckHost,
		NameVerifyHash:      a.VerifyHash,
		NameNotify:          a.Notify,
		NameRenotify:        a.Renotify,
		NameReprocess:       a.Reprocess,
		NameAfterIngest:     a.AfterIngest,
		NameRecordFailure:   a.RecordFailure,
		NameCloseFile:       a.CloseFile,
		NameResumeFile:      a.ResumeFile,
		NameAwaitServer:     a.AwaitServer,
		NameRequeueFile:     a.RequeueFile,

		NameRecoverFiles:         a.RecoverFiles,
		NameListHosts:            a.ListHosts,
		NameSweepUploads:         a.SweepUploads,
		NameCheckObjects:         a.CheckObjects,
		NameRecordReconciliation: a.RecordReconciliation,

		NameRunAudit: a.RunAudit,
		NameEndAudit: a.EndAudit,
	}
}

// RegisteredTransfers returns the activities of the queue for direct transfers.
func (a *Activities) RegisteredTransfers() map[string]any {
	return map[string]any{NameTransfer: a.Transfer}
}

// RegisteredOnHost returns the activities that need the staged bytes and run on the
// host's own queues.
func (a *Activities) RegisteredOnHost() map[string]any {
	return map[string]any{
		NameDownload:      a.Download,
		NameVerifyHash:    a.VerifyHash,
		NameUpload:        a.Upload,
		NameDiscardStaged: a.DiscardStaged,
		NameSweepStaging:  a.SweepStaging,
	}
}
