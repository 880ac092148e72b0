package openapi

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
)

// List returns the items converted, never nil: JSON needs a list, not null.
func List[T, U any](items []T, convert func(T) U) []U {
	list := make([]U, len(items))
	for i, item := range items {
		list[i] = convert(item)
	}
	return list
}

// FromFile returns a file as the API shows it: its paths are safe to print, and
// remote_path_base64 is the raw path.
func FromFile(f ingest.File) File {
	return File{
		FileUUID: f.UUID, Server: f.ServerName, ServerUUID: f.ServerUUID, ServerRemoved: f.ServerRemoved,
		RemotePath:       ingest.DisplayPath(f.RemotePath),
		RemotePathBase64: base64.StdEncoding.EncodeToString([]byte(f.RemotePath)),
		Filename:         ingest.DisplayPath(f.Filename),
		SizeBytes:        f.Size,
		Mtime:            f.ModTime.UTC(),
		Status:           FileStatus(f.Status),
		FileHash:         orNull(f.Hash), HashAlgo: orNull(f.HashAlgo),
		Mode: orNull(string(f.Mode)), Bucket: orNull(f.Bucket), ObjectKey: orNull(f.ObjectKey), ObjectChecksum: orNull(f.Checksum),
		WaitsFor: waitsFor(f), SourceLeft: orNull(ingest.DisplayPath(f.SourceLeft)), Notes: List(f.Notes(time.Now()), ingest.Note.String),
		ErrorStep: orNull(string(f.ErrorStep)), ErrorKind: orNull(string(f.ErrorKind)), ErrorMessage: orNull(f.ErrorMessage),
		CreatedAt: f.CreatedAt.UTC(), UpdatedAt: f.UpdatedAt.UTC(), CompletedAt: timeOrNull(f.CompletedAt),
		WorkflowID: temporalnames.IngestWorkflowID(f.UUID),
	}
}

// FromProgress returns the progress of a step as the API shows it.
func FromProgress(p orchestrator.Progress) *Progress {
	shown := &Progress{
		Step: string(p.Step), Attempt: p.Attempt, Running: p.Running, Paused: p.Paused, NextAttemptAt: timeOrNull(p.NextTry), Failure: orNull(p.Failure), Host: orNull(p.Host),
		Notes: List(p.Notes(time.Now()), ingest.Note.String),
	}
	if p.Total > 0 {
		shown.DoneBytes, shown.TotalBytes = &p.Done, &p.Total
	}
	if p.Rate > 0 {
		shown.BytesPerSecond = &p.Rate
	}
	if eta := p.ETA(); eta > 0 {
		seconds := int64(eta.Seconds())
		shown.EtaSeconds = &seconds
	}
	return shown
}

func waitsFor(f ingest.File) *string {
	note, ok := f.Waits()
	if !ok {
		return nil
	}
	return orNull(note.String())
}

// FromServer returns a server as the API shows it, without its credentials.
func FromServer(s ingest.Server) Server {
	keys := []HostKey{}
	for _, line := range s.HostKeys {
		keys = append(keys, HostKey{Key: line, Fingerprint: operations.Fingerprint(line)})
	}
	shown := Server{
		ServerUUID: s.UUID, HasPassword: len(s.PasswordEncrypted) > 0, HasPrivateKey: len(s.PrivateKeyEncrypted) > 0,
		IsActive: s.Active, State: string(s.State), Health: ServerHealth(s.Health()), LastError: orNull(s.LastError),
		UnreadableFolders: s.Unread.Count, Unreadable: fromUnread(s.Unread), LastScanAt: timeOrNull(s.LastScanAt),
		SourcesLeft: s.Left.Sources, InProgress: s.Left.InProgress, Alone: s.Left.Alone,
		Notes:       List(s.Notes(), ingest.Note.String),
		HeldChanges: s.Attention.Held.Files, HeldReason: orNull(s.Attention.HeldReason), ResentFiles: s.Attention.Resent,
		CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
	settings := s.SettingValues()
	delete(settings, "host_keys")        // displayed with their fingerprints
	encoded, _ := json.Marshal(settings) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, &shown)  // the same names; a test compares them
	shown.HostKeys = keys
	return shown
}

func fromUnread(u ingest.Unread) []UnreadableFolder {
	folders := make([]UnreadableFolder, 0, len(u.Folders))
	for _, f := range u.Folders {
		folders = append(folders, UnreadableFolder{Path: f.Path, Reason: f.Reason})
	}
	return folders
}

// FromEvent returns an event as the API shows it.
func FromEvent(e ingest.StoredEvent) Event {
	details := e.Details
	if details == nil {
		details = map[string]any{}
	}
	return Event{ID: e.ID, EventType: string(e.Type), Timestamp: e.Timestamp.UTC(), Details: details}
}

// FromScan returns the state of a scan as the API shows it.
func FromScan(s operations.ScanStatus) Scan {
	servers := []ScanServer{}
	for _, server := range s.Servers {
		servers = append(servers, fromScanServer(server))
	}
	scan := Scan{
		ScanUUID: s.UUID, WorkflowID: s.WorkflowID, RunID: s.RunID, State: ScanState(s.State),
		StartedAt: s.StartedAt.UTC(), FinishedAt: timeOrNull(s.StartedAllAt),
		Started: s.Summary.Started, AlreadyRunning: s.Summary.AlreadyRunning, Failed: s.Summary.Failed, Servers: servers,
	}
	if s.Err != nil {
		scan.Error = orNull(ingest.Message(s.Err))
	}
	return scan
}

func fromScanServer(s operations.ScanServerStatus) ScanServer {
	server := ScanServer{ServerUUID: s.Server.UUID, Server: s.Server.Name, State: ScanState(s.State), Waits: orNull(s.Waits), Files: map[string]int64{}}
	for status, n := range s.Files {
		server.Files[string(status)] = n
	}
	if s.Err != nil {
		server.ErrorKind, server.Error = orNull(string(ingest.KindOf(s.Err))), orNull(ingest.Message(s.Err))
	}
	return server
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
