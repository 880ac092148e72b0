package activities

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// FindStrandedInput asks for files that nobody carries.
type FindStrandedInput struct {
	// Unchanged is how long a row must not have changed to be looked at: the
	// steps of a living workflow leave longer gaps only while they retry.
	Unchanged time.Duration `json:"unchanged"`
	// AfterID is the cursor; 0 begins.
	AfterID int64 `json:"after_id,omitempty"`
	// Limit is how many rows are looked at.
	Limit int `json:"limit"`
}

// Stranded is a file that needs a workflow.
type Stranded struct {
	ReadyFile
	ServerUUID string        `json:"server_uuid"`
	ServerName string        `json:"server_name"`
	Status     ingest.Status `json:"status"`
	// From is the step to begin with, Parked the failure to wait with; one of
	// them is set.
	From   ingest.Step     `json:"from,omitempty"`
	Parked *ingest.Failure `json:"parked,omitempty"`
}

// FindStrandedResult is what one page held.
type FindStrandedResult struct {
	Restart  []Stranded `json:"restart,omitempty"`
	Requeued int64      `json:"requeued"`
	Findings []string   `json:"findings,omitempty"`
	AfterID  int64      `json:"after_id"`
	More     bool       `json:"more"`
}

// FindStranded looks for files on their way or in error whose workflow is gone:
// terminated, timed out, or lost with Temporal's database. Those with bytes
// still to be moved become ready again, so that they wait for their place in
// the server's window like others. The rest is returned to be started.
func (a *Activities) FindStranded(ctx context.Context, in FindStrandedInput) (FindStrandedResult, error) {
	watched, report, stop := a.watch(ctx, int64(in.Limit))
	result, err := a.findStranded(watched, in, report)
	return result, applicationError(stop(err))
}

func (a *Activities) findStranded(ctx context.Context, in FindStrandedInput, report func(int64)) (result FindStrandedResult, err error) {
	files, err := a.Debris.Unmoved(ctx, in.Unchanged, in.AfterID, in.Limit)
	if err != nil || len(files) == 0 {
		return result, err
	}
	result.AfterID, result.More = files[len(files)-1].ID, len(files) == in.Limit
	carried, err := a.withOpenWorkflow(ctx, files)
	if err != nil {
		return result, err
	}
	for i, file := range files {
		report(int64(i))
		if carried[file.UUID] {
			continue
		}
		if err := a.recoverFile(ctx, file, &result); err != nil {
			return result, err
		}
	}
	return result, nil
}

// carried are those of the files that have an open workflow.
func (a *Activities) withOpenWorkflow(ctx context.Context, files []ingest.File) (map[string]bool, error) {
	uuids := make([]string, len(files))
	for i, file := range files {
		uuids[i] = file.UUID
	}
	open, err := a.Workflows.OpenIngests(ctx, uuids)
	carried := make(map[string]bool, len(open))
	for _, uuid := range open {
		carried[uuid] = true
	}
	return carried, err
}

// rescue brings one stranded file back on its way.
func (a *Activities) recoverFile(ctx context.Context, file ingest.File, result *FindStrandedResult) error {
	found := func(what string) {
		result.Findings = append(result.Findings, file.ServerName+":"+ingest.DisplayPath(file.RemotePath)+" was "+string(file.Status)+" without a workflow: "+what)
	}
	stranded := Stranded{
		ReadyFile:  readyFile(file),
		ServerUUID: file.ServerUUID, ServerName: file.ServerName, Status: file.Status,
	}
	switch {
	case file.Status == ingest.StatusUploaded:
		stranded.From = ingest.StepNotify
		found("it is announced now")
		result.Restart = append(result.Restart, stranded)
	case file.Status == ingest.StatusError && file.ErrorKind != ingest.KindStranded:
		stranded.Parked = &ingest.Failure{Step: cmp.Or(file.ErrorStep, ingest.StepDownload), Kind: file.ErrorKind, Message: file.ErrorMessage}
		found("it waits for a decision again")
		result.Restart = append(result.Restart, stranded)
	default:
		found("it is ready again")
		result.Requeued++
		return a.requeue(ctx, file)
	}
	return nil
}

// requeue makes a file ready by way of error, which every step may fall into.
// The claim keeps out what may still run of the lost workflow.
func (a *Activities) requeue(ctx context.Context, file ingest.File) error {
	file, err := a.Ledger.Claim(ctx, file.UUID)
	if err != nil {
		return err
	}
	if file.Status != ingest.StatusError {
		lost := ingest.Failure{
			Step: ingest.StepDownload, Kind: ingest.KindStranded, Message: "its workflow ended from outside while it was " + string(file.Status),
		}
		err = a.apply(ctx, file, ingest.Failed(file, lost))
		if err != nil {
			return err
		}
	}
	return a.apply(ctx, file, ingest.Requeued(file, 0, "its workflow was gone", "after round "+strconv.Itoa(file.Round)))
}

// ReadyFile is a file as far as the start of its workflow needs it.
type ReadyFile struct {
	UUID string `json:"uuid"`
	// Summary is the path for people, at most 400 bytes.
	Summary string `json:"summary"`
	// Path is the path for people where Summary is only its beginning, at most
	// 4,096 bytes.
	Path string      `json:"path,omitempty"`
	Size int64       `json:"size"`
	Mode ingest.Mode `json:"mode,omitempty"`
}

// longPathBytes keeps a page of files small enough for Temporal.
const longPathBytes = 4096

func readyFile(f ingest.File) ReadyFile {
	r := ReadyFile{UUID: f.UUID, Summary: ingest.Summary(f.RemotePath), Size: f.Size, Mode: f.Mode}
	if path := ingest.DisplayPath(f.RemotePath); path != r.Summary {
		r.Path = strings.ToValidUTF8(path[:min(len(path), longPathBytes)], "")
	}
	return r
}
