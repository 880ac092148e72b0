package activities

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// RecoverFilesInput selects a page of files whose workflow may be gone.
type RecoverFilesInput struct {
	// Unchanged is the minimum age of a row's last change: an open workflow leaves
	// longer gaps only while it retries.
	Unchanged time.Duration `json:"unchanged"`
	// AfterID is the cursor; 0 starts at the beginning.
	AfterID int64 `json:"after_id,omitempty"`
	// Limit is the page size in rows.
	Limit int `json:"limit"`
}

// FileRestart is a file that needs a new workflow.
type FileRestart struct {
	ReadyFile
	ServerUUID string        `json:"server_uuid"`
	ServerName string        `json:"server_name"`
	Status     ingest.Status `json:"status"`
	// From is the first step, or Failure the failure of a file that needs attention;
	// one of them is set.
	From    ingest.Step     `json:"from,omitempty"`
	Failure *ingest.Failure `json:"failure,omitempty"`
}

// RecoverFilesResult is the result for one page.
type RecoverFilesResult struct {
	Restart  []FileRestart `json:"restart,omitempty"`
	Requeued int64         `json:"requeued"`
	Findings []string      `json:"findings,omitempty"`
	AfterID  int64         `json:"after_id"`
	More     bool          `json:"more"`
}

// RecoverFiles finds files in flight or in error whose workflow is gone: terminated,
// timed out, or lost with Temporal's database. Files with bytes still to transfer become
// ready again and wait for a slot. The others are returned, to be started.
func (a *Activities) RecoverFiles(ctx context.Context, in RecoverFilesInput) (RecoverFilesResult, error) {
	watched, report, stop := a.watch(ctx, int64(in.Limit))
	result, err := a.recoverFiles(watched, in, report)
	return result, applicationError(stop(err))
}

func (a *Activities) recoverFiles(ctx context.Context, in RecoverFilesInput, report func(int64)) (result RecoverFilesResult, err error) {
	files, err := a.Reconciliation.UnchangedFiles(ctx, in.Unchanged, in.AfterID, in.Limit)
	if err != nil || len(files) == 0 {
		return result, err
	}
	result.AfterID, result.More = files[len(files)-1].ID, len(files) == in.Limit
	hasWorkflow, err := a.withOpenWorkflow(ctx, files)
	if err != nil {
		return result, err
	}
	for i, file := range files {
		report(int64(i))
		if hasWorkflow[file.UUID] {
			continue
		}
		if err := a.recoverFile(ctx, file, &result); err != nil {
			return result, err
		}
	}
	return result, nil
}

// withOpenWorkflow returns the uuids of the files that have an open workflow.
func (a *Activities) withOpenWorkflow(ctx context.Context, files []ingest.File) (map[string]bool, error) {
	uuids := make([]string, len(files))
	for i, file := range files {
		uuids[i] = file.UUID
	}
	open, err := a.Workflows.OpenIngests(ctx, uuids)
	hasWorkflow := make(map[string]bool, len(open))
	for _, uuid := range open {
		hasWorkflow[uuid] = true
	}
	return hasWorkflow, err
}

// recoverFile requeues a file without a workflow, or adds it to the files to be restarted.
func (a *Activities) recoverFile(ctx context.Context, file ingest.File, result *RecoverFilesResult) error {
	found := func(action string) {
		result.Findings = append(result.Findings, file.ServerName+":"+ingest.DisplayPath(file.RemotePath)+" was "+string(file.Status)+" without a workflow: "+action)
	}
	restart := FileRestart{
		ReadyFile:  readyFile(file),
		ServerUUID: file.ServerUUID, ServerName: file.ServerName, Status: file.Status,
	}
	switch {
	case file.Status == ingest.StatusUploaded:
		restart.From = ingest.StepNotify
		found("its notification is published now")
		result.Restart = append(result.Restart, restart)
	case file.Status == ingest.StatusError && file.ErrorKind != ingest.KindWorkflowLost:
		restart.Failure = &ingest.Failure{Step: cmp.Or(file.ErrorStep, ingest.StepDownload), Kind: file.ErrorKind, Message: file.ErrorMessage}
		found("it needs attention again")
		result.Restart = append(result.Restart, restart)
	default:
		found("it is ready again")
		result.Requeued++
		return a.requeue(ctx, file)
	}
	return nil
}

// requeue makes a file ready by way of error, which any status may become. The claim
// fences attempts of the lost workflow that still run.
func (a *Activities) requeue(ctx context.Context, file ingest.File) error {
	file, err := a.Ledger.Claim(ctx, file.UUID)
	if err != nil {
		return err
	}
	if file.Status != ingest.StatusError {
		lost := ingest.Failure{
			Step: ingest.StepDownload, Kind: ingest.KindWorkflowLost, Message: "its workflow was terminated while the file was " + string(file.Status),
		}
		err = a.apply(ctx, file, ingest.Failed(file, lost))
		if err != nil {
			return err
		}
	}
	return a.apply(ctx, file, ingest.Requeued(file, 0, "its workflow was gone", "after round "+strconv.Itoa(file.Round)))
}

// ReadyFile has the file's fields that its workflow's start needs.
type ReadyFile struct {
	UUID string `json:"uuid"`
	// Summary is the display path, at most 400 bytes.
	Summary string `json:"summary"`
	// Path is the display path if Summary is truncated, at most 4,096 bytes.
	Path string      `json:"path,omitempty"`
	Size int64       `json:"size"`
	Mode ingest.Mode `json:"mode,omitempty"`
}

// longPathBytes bounds Path so that a page of files fits into Temporal's limits.
const longPathBytes = 4096

func readyFile(f ingest.File) ReadyFile {
	r := ReadyFile{UUID: f.UUID, Summary: ingest.Summary(f.RemotePath), Size: f.Size, Mode: f.Mode}
	if path := ingest.DisplayPath(f.RemotePath); path != r.Summary {
		r.Path = strings.ToValidUTF8(path[:min(len(path), longPathBytes)], "")
	}
	return r
}
