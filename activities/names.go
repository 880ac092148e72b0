package activities

// The registered names. Running workflows refer to them: a name is never
// changed or given another meaning, only added (a golden test pins the list).
const (
	NameListDueServers  = "ListDueServers"
	NameListServerFiles = "ListServerFiles"
	NameRecheckSettling = "RecheckSettling"
	NameNextReadyFiles  = "NextReadyFiles"
	NameOpenIngests     = "OpenIngests"
	NameClaimHost       = "ClaimHost"
	NameCheckHost       = "CheckHost"
	NameDownload        = "Download"
	NameVerifyHash      = "VerifyHash"
	NameUpload          = "Upload"
	NameNotify          = "Notify"
	NameRenotify        = "Renotify"
	NameAfterIngest     = "AfterIngest"
	NameDiscardStaged   = "DiscardStaged"
	NameParkFile        = "ParkFile"
	NameCloseFile       = "CloseFile"
	NameResumeFile      = "ResumeFile"
	NameAwaitServer     = "AwaitServer"
	NameRequeueFile     = "RequeueFile"

	NameFindStranded         = "FindStranded"
	NameListHosts            = "ListHosts"
	NameSweepStaging         = "SweepStaging"
	NameSweepUploads         = "SweepUploads"
	NameCheckObjects         = "CheckObjects"
	NameRecordReconciliation = "RecordReconciliation"

	NameRunAudit = "RunAudit"
	NameEndAudit = "EndAudit"
)
