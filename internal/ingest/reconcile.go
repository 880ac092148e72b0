package ingest

import "time"

// Held is a file with data in a worker's staging folder.
type Held struct {
	FileUUID string
	// Age is the time since the last write.
	Age time.Duration
}

// OpenUpload is an unfinished multipart upload.
type OpenUpload struct {
	Key      string
	UploadID string
	// Age is the time since it was created, by the store's clock.
	Age time.Duration
}

// Reconciliation is the result of one reconciliation.
type Reconciliation struct {
	// ID and FinishedAt are set by the database.
	ID         int64     `json:"-"`
	FinishedAt time.Time `json:"-"`
	// Key identifies the run.
	Key       string    `json:"key"`
	StartedAt time.Time `json:"started_at"`
	// Requeued counts files in flight without a workflow that are ready again;
	// Restarted counts files whose workflow was restarted to resume them.
	Requeued  int64 `json:"requeued"`
	Restarted int64 `json:"restarted"`
	// UploadsAborted counts aborted orphaned uploads, StagingRemoved removed orphans
	// in staging.
	UploadsAborted int64 `json:"uploads_aborted"`
	StagingRemoved int64 `json:"staging_removed"`
	// ObjectsMissing counts completed files without an object, HostsSilent workers
	// whose staging could not be checked. Both need attention.
	ObjectsMissing int64 `json:"objects_missing"`
	HostsSilent    int64 `json:"hosts_silent"`
	// Findings has one line for each item, at most MaxFindings.
	Findings []string `json:"findings,omitempty"`
}

// MaxFindings bounds Reconciliation.Findings; the counts are complete.
const MaxFindings = 200

// Note adds lines up to MaxFindings.
func (r *Reconciliation) Note(lines ...string) {
	room := max(0, MaxFindings-len(r.Findings))
	r.Findings = append(r.Findings, lines[:min(room, len(lines))]...)
}

// FileOfKey returns the file's uuid in an object key made by ObjectKey, and false
// for other keys.
func FileOfKey(key string) (fileUUID string, ok bool) {
	const uuidAt, uuidLen = len("files/2006/01/"), 36
	if len(key) <= uuidAt+uuidLen+1 || key[:6] != "files/" || key[10] != '/' || key[13] != '/' || key[uuidAt+uuidLen] != '/' {
		return "", false
	}
	return key[uuidAt : uuidAt+uuidLen], true
}
