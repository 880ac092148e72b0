package ingest

import "time"

// Held is a file that has something in a worker's staging.
type Held struct {
	FileUUID string
	// Age is the time since anything of the file was written.
	Age time.Duration
}

// OpenUpload is a multipart upload that was begun and not ended.
type OpenUpload struct {
	Key      string
	UploadID string
	// Age is the time since it was begun, by the store's clock.
	Age time.Duration
}

// Reconciliation is what one run of the reconciler found and did.
type Reconciliation struct {
	// ID and FinishedAt are the database's.
	ID         int64     `json:"-"`
	FinishedAt time.Time `json:"-"`
	// Key names the run.
	Key       string    `json:"key"`
	StartedAt time.Time `json:"started_at"`
	// Requeued files stood on their way without a workflow and are ready again;
	// Restarted ones got a workflow that goes on where they stood.
	Requeued  int64 `json:"requeued"`
	Restarted int64 `json:"restarted"`
	// UploadsAborted and StagingRemoved count debris that is gone now.
	UploadsAborted int64 `json:"uploads_aborted"`
	StagingRemoved int64 `json:"staging_removed"`
	// ObjectsMissing counts completed files without their object, HostsSilent
	// workers whose staging nobody could look at. People must see to them.
	ObjectsMissing int64 `json:"objects_missing"`
	HostsSilent    int64 `json:"hosts_silent"`
	// Findings has one line for each thing, up to MaxFindings.
	Findings []string `json:"findings,omitempty"`
}

// MaxFindings bounds the lines of a Reconciliation; counts go on.
const MaxFindings = 200

// Merge adds what another part of the run found.
func (r *Reconciliation) Merge(other Reconciliation) {
	r.Requeued += other.Requeued
	r.Restarted += other.Restarted
	r.UploadsAborted += other.UploadsAborted
	r.StagingRemoved += other.StagingRemoved
	r.ObjectsMissing += other.ObjectsMissing
	r.HostsSilent += other.HostsSilent
	r.Note(other.Findings...)
}

// Note adds lines while there is room.
func (r *Reconciliation) Note(lines ...string) {
	room := max(0, MaxFindings-len(r.Findings))
	r.Findings = append(r.Findings, lines[:min(room, len(lines))]...)
}

// FileOfKey returns the uuid in an object key made by ObjectKey, and false for
// keys of others.
func FileOfKey(key string) (fileUUID string, ok bool) {
	const uuidAt, uuidLen = len("files/2006/01/"), 36
	if len(key) <= uuidAt+uuidLen+1 || key[:6] != "files/" || key[10] != '/' || key[13] != '/' || key[uuidAt+uuidLen] != '/' {
		return "", false
	}
	return key[uuidAt : uuidAt+uuidLen], true
}
