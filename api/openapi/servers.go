package openapi

import (
	"encoding/json"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// Edit returns the edit that sets the given fields.
func (b ServerSettings) Edit() (edit operations.ServerEdit, err error) {
	edit.Settings, err = b.Apply()
	if b.Password != nil {
		edit.Password = []byte(*b.Password)
	}
	if b.PrivateKey != nil {
		edit.PrivateKey = []byte(*b.PrivateKey)
	}
	if b.Passphrase != nil {
		edit.Passphrase = []byte(*b.Passphrase)
	}
	if b.Certificate != nil {
		edit.Certificate = []byte(*b.Certificate)
	}
	return edit, err
}

// Apply returns a function that sets the given fields of a server; omitted fields
// keep their values. An invalid value is an error of KindInvalid.
func (b ServerSettings) Apply() (func(*ingest.Server), error) {
	given := map[string]json.RawMessage{}
	encoded, _ := json.Marshal(b) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, &given)
	apply := func(s *ingest.Server) (wrong ingest.FieldErrors) {
		for _, setting := range ingest.Settings {
			if value, ok := given[setting.Field]; ok {
				if err := setting.SetJSON(s, value); err != nil {
					wrong.Add(setting.Field, "%s", err)
				}
			}
		}
		return wrong
	}
	wrong := apply(&ingest.Server{})
	return func(s *ingest.Server) { apply(s) }, wrong.Err("the settings cannot be read")
}

// FromTest returns a server test as the API shows it; err is its error, may be nil.
func FromTest(r operations.TestResult, err error) ServerTest {
	test := ServerTest{
		Ok: err == nil, Fingerprint: orNull(r.Presented.Fingerprint), HostKey: orNull(r.Presented.KeyLine),
		Pinned: r.Pinned, Resumed: r.Resumed, Software: orNull(ingest.DisplayPath(r.Presented.Software)), Entries: r.Presented.Entries,
		LatencyMs: r.Presented.Latency.Milliseconds(),
	}
	test.setDetails(r.Presented.ProbeDetails)
	if err != nil {
		test.ErrorKind, test.Error = orNull(string(ingest.KindOf(err))), orNull(ingest.Message(err))
	}
	return test
}

// FromListing returns a listing of a server as the API shows it.
func FromListing(s ingest.Scan) Listing {
	var duration *int64
	state := ListingRunning
	if !s.FinishedAt.IsZero() {
		state = ListingCompleted
		ms := s.FinishedAt.Sub(s.StartedAt).Milliseconds()
		duration = &ms
	}
	switch {
	case s.Error != "":
		state = ListingFailed
	case duration != nil && s.Errors > 0:
		state = ListingIncomplete
	}
	return Listing{
		DurationMs: duration, Source: orNull(s.Source), RequestedBy: orNull(s.RequestedBy),
		Excluded: s.Excluded.Count, ExcludedExample: orNull(s.Excluded.Example),
		ID: s.ID, Server: s.ServerName, ServerUUID: s.ServerUUID, ServerRemoved: s.ServerRemoved, StartedAt: s.StartedAt.UTC(), FinishedAt: timeOrNull(s.FinishedAt),
		Seen: s.Seen, New: s.New, Settling: s.Settling, Rejected: s.Rejected, Errors: s.Errors, InProgress: s.InProgress, Alone: s.Alone,
		Unreadable: fromUnread(s.Unread), State: state, Error: orNull(s.Error), Notes: List(s.Notes(), ingest.Note.String),
	}
}

// FromReconciliation returns a run of the reconciliation as the API shows it.
func FromReconciliation(r ingest.Reconciliation) Reconciliation {
	return Reconciliation{
		ID: r.ID, StartedAt: r.StartedAt.UTC(), FinishedAt: r.FinishedAt.UTC(), Requeued: r.Requeued, Restarted: r.Restarted,
		UploadsAborted: r.UploadsAborted, StagingRemoved: r.StagingRemoved, ObjectsMissing: r.ObjectsMissing, HostsSilent: r.HostsSilent,
		Findings: orEmpty(r.Findings),
	}
}

// FromChange returns an event of a file as the stream of changes shows it.
func FromChange(e ingest.LedgerEvent) Change {
	event := FromEvent(e.StoredEvent)
	return Change{
		ID: event.ID, EventType: event.EventType, Timestamp: event.Timestamp, Details: event.Details,
		FileUUID: e.FileUUID, Server: e.ServerName, Status: FileStatus(e.Status),
	}
}
