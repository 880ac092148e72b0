package openapi

import (
	"encoding/json"
	"errors"
	"time"

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
// keep their values. An invalid duration is an error of KindInvalid.
func (b ServerSettings) Apply() (func(*ingest.Server), error) {
	durations := map[string]*string{
		"settle": b.Settle, "scan_interval": b.ScanInterval, "min_age": b.MinAge, "sidecar_wait": b.SidecarWait,
	}
	parsed := map[string]*time.Duration{}
	var wrong []ingest.FieldError
	for field, text := range durations {
		if text == nil {
			continue
		}
		d, err := time.ParseDuration(*text)
		if err != nil {
			wrong = append(wrong, ingest.FieldError{Field: field, Message: field + ": use a duration such as 10s or 5m"})
		}
		parsed[field] = &d
	}
	wrong = append(wrong, b.applyOptions(&ingest.Server{})...)
	if len(wrong) > 0 {
		return nil, ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: wrong}, "the settings cannot be read")
	}
	return func(s *ingest.Server) {
		b.applyReach(s)
		b.applyRules(s)
		set(&s.Settle, parsed["settle"])
		set(&s.ScanInterval, parsed["scan_interval"])
		set(&s.MinAge, parsed["min_age"])
		set(&s.SidecarWait, parsed["sidecar_wait"])
		b.applyOptions(s)
	}, nil
}

// applyReach sets the fields of the connection.
func (b ServerSettings) applyReach(s *ingest.Server) {
	set(&s.Name, b.Name)
	set(&s.Host, b.Host)
	set(&s.Port, b.Port)
	set(&s.Username, b.Username)
	set(&s.HostKeys, b.HostKeys)
	set(&s.RootPath, b.RootPath)
	set(&s.LegacyAlgorithms, b.LegacyAlgorithms)
}

// applyRules sets the fields that select and schedule files.
func (b ServerSettings) applyRules(s *ingest.Server) {
	set(&s.Include, b.Include)
	set(&s.Exclude, b.Exclude)
	set(&s.MaxParallel, b.MaxParallel)
	set(&s.DoneMarker, b.DoneMarker)
	set(&s.MaxDepth, b.MaxDepth)
	set(&s.ReadOnce, b.ReadOnce)
	if b.Transfer != nil {
		s.Transfer = ingest.TransferSetting(*b.Transfer)
	}
	if b.AfterIngest != nil {
		s.AfterIngest = ingest.AfterIngest(*b.AfterIngest)
	}
	if b.OnCollision != nil {
		s.OnCollision = ingest.Collision(*b.OnCollision)
	}
}

// applyOptions sets the given options, which have the same names in both types,
// and returns the options with invalid values.
func (b ServerSettings) applyOptions(s *ingest.Server) (wrong []ingest.FieldError) {
	given := map[string]json.RawMessage{}
	encoded, _ := json.Marshal(b) // texts, numbers and switches: cannot fail
	_ = json.Unmarshal(encoded, &given)
	for _, info := range ingest.OptionTable {
		value, ok := given[info.Field]
		if !ok {
			continue
		}
		one, _ := json.Marshal(map[string]json.RawMessage{info.Field: value})
		if err := json.Unmarshal(one, &s.Options); err != nil {
			wrong = append(wrong, ingest.FieldError{Field: info.Field, Message: info.Flag() + ": " + info.Help})
		}
	}
	s.NormalizeOptions()
	return wrong
}

func set[T any](to *T, value *T) {
	if value != nil {
		*to = *value
	}
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
		test.ErrorKind, test.Error = orNull(string(ingest.KindOf(err))), orNull(err.Error())
		var known *ingest.Error
		if errors.As(err, &known) {
			test.Error = orNull(known.Message)
		}
	}
	return test
}

// FromListing returns a listing of a server as the API shows it.
func FromListing(s ingest.Scan) Listing {
	var duration *int64
	if !s.FinishedAt.IsZero() {
		ms := s.FinishedAt.Sub(s.StartedAt).Milliseconds()
		duration = &ms
	}
	return Listing{
		DurationMs: duration, Source: orNull(s.Source), RequestedBy: orNull(s.RequestedBy),
		Excluded: s.Excluded.Count, ExcludedExample: orNull(s.Excluded.Example),
		ID: s.ID, Server: s.ServerName, ServerUUID: s.ServerUUID, StartedAt: s.StartedAt.UTC(), FinishedAt: timeOrNull(s.FinishedAt),
		Seen: s.Seen, New: s.New, Settling: s.Settling, Rejected: s.Rejected, Errors: s.Errors, InProgress: s.InProgress, Alone: s.Alone,
		Unreadable: fromUnread(s.Unread), Error: orNull(s.Error), Note: orNull(s.Note),
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
