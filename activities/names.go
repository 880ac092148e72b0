package activities

import "stevedore/internal/ingest"

// The registered names. Running workflows refer to them: names are only added, never
// changed or reused (a golden test pins the list).
const (
	NameStartScans      = "StartScans"
	NameTryListing      = "TryListing"
	NameListServerFiles = "ListServerFiles"
	NameRecheckSettling = "RecheckSettling"
	NameDispatchFiles   = "DispatchFiles"
	NameIngestInMemory  = "IngestInMemory"
	NameClaimHost       = "ClaimHost"
	NameCheckHost       = "CheckHost"
	NameDownload        = "Download"
	NameVerifyHash      = "VerifyHash"
	NameUpload          = "Upload"
	NameTransfer        = "Transfer"
	NameNotify          = "Notify"
	NameRenotify        = "Renotify"
	NameReprocess       = "Reprocess"
	NameAfterIngest     = "AfterIngest"
	NameDiscardStaged   = "DiscardStaged"
	NameRecordFailure   = "RecordFailure"
	NameCloseFile       = "CloseFile"
	NameResumeFile      = "ResumeFile"
	NameAwaitServer     = "AwaitServer"
	NameRequeueFile     = "RequeueFile"

	NameRecoverFiles         = "RecoverFiles"
	NameListHosts            = "ListHosts"
	NameSweepStaging         = "SweepStaging"
	NameSweepUploads         = "SweepUploads"
	NameCheckObjects         = "CheckObjects"
	NameRecordReconciliation = "RecordReconciliation"

	NameRunAudit = "RunAudit"
	NameEndAudit = "EndAudit"
)

// StepOf maps the activities to the step of a file that they belong to.
var StepOf = map[string]ingest.Step{
	NameTryListing:      ingest.StepDiscover,
	NameListServerFiles: ingest.StepDiscover,
	NameIngestInMemory:  ingest.StepTransfer,
	NameClaimHost:       ingest.StepDownload,
	NameDownload:        ingest.StepDownload,
	NameVerifyHash:      ingest.StepVerify,
	NameUpload:          ingest.StepUpload,
	NameTransfer:        ingest.StepTransfer,
	NameNotify:          ingest.StepNotify,
	NameAfterIngest:     ingest.StepAfter,
}

// ActivityOf maps steps to their main activity, which operators pause or reset.
var ActivityOf = map[ingest.Step]string{
	ingest.StepDownload: NameDownload,
	ingest.StepVerify:   NameVerifyHash,
	ingest.StepUpload:   NameUpload,
	ingest.StepTransfer: NameTransfer,
	ingest.StepNotify:   NameNotify,
	ingest.StepAfter:    NameAfterIngest,
}
