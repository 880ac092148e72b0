package activities

import (
	"context"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// NextReadyFilesInput asks for files to be started.
type NextReadyFilesInput struct {
	ServerUUID string `json:"server_uuid"`
	// Exclude names those already started whose first step has not yet shown
	// in the ledger.
	Exclude []string `json:"exclude,omitempty"`
	Limit   int      `json:"limit"`
}

// ReadyFile is a file as far as its workflow's start needs it.
type ReadyFile struct {
	UUID string `json:"uuid"`
	// Summary is the path for people, at most 400 bytes.
	Summary string `json:"summary"`
	// Path is the path for people where Summary is only its beginning, at most
	// 4,096 bytes.
	Path string `json:"path,omitempty"`
	Size int64  `json:"size"`
}

// longPathBytes keeps a page of files small enough for Temporal.
const longPathBytes = 4096

func readyFile(f ingest.File) ReadyFile {
	r := ReadyFile{UUID: f.UUID, Summary: ingest.Summary(f.RemotePath), Size: f.Size}
	if path := ingest.DisplayPath(f.RemotePath); path != r.Summary {
		r.Path = strings.ToValidUTF8(path[:min(len(path), longPathBytes)], "")
	}
	return r
}

// NextReadyFilesResult is the oldest ready files, oldest first.
type NextReadyFilesResult struct {
	Files []ReadyFile `json:"files,omitempty"`
	// DeferredFor is how long it takes until the next of those may be taken up
	// that are put off; 0 when there is none.
	DeferredFor time.Duration `json:"deferred_for,omitempty"`

	// Halt is set when no file of the server is to be started.
	Halt
}

// NextReadyFiles returns the oldest ready files of the server, unless none is
// to be started now.
func (a *Activities) NextReadyFiles(ctx context.Context, in NextReadyFilesInput) (NextReadyFilesResult, error) {
	_, halt, err := a.asked(ctx, in.ServerUUID)
	if err != nil || halt != (Halt{}) {
		return NextReadyFilesResult{Halt: halt}, applicationError(err)
	}
	files, err := a.Catalog.ReadyFiles(ctx, in.ServerUUID, in.Exclude, in.Limit)
	if err != nil {
		return NextReadyFilesResult{}, applicationError(err)
	}
	var result NextReadyFilesResult
	for _, f := range files {
		result.Files = append(result.Files, readyFile(f))
	}
	if len(files) < in.Limit {
		result.DeferredFor, err = a.Catalog.NextDeferred(ctx, in.ServerUUID)
	}
	return result, applicationError(err)
}

// OpenIngestsInput names files whose workflows an earlier run started.
type OpenIngestsInput struct {
	FileUUIDs []string `json:"file_uuids"`
}

// OpenIngestsResult names those that are still open.
type OpenIngestsResult struct {
	FileUUIDs []string `json:"file_uuids,omitempty"`
}

// OpenIngests tells which of the files still have an open workflow. A run that
// took over from another cannot watch the other's children, so it asks.
func (a *Activities) OpenIngests(ctx context.Context, in OpenIngestsInput) (OpenIngestsResult, error) {
	open, err := a.Workflows.OpenIngests(ctx, in.FileUUIDs)
	return OpenIngestsResult{FileUUIDs: open}, applicationError(err)
}
