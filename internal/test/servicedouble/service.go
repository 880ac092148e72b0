// Package servicedouble has a double of the operations and the access control that API,
// console and command line call, for their tests.
package servicedouble

import (
	"context"
	"fmt"
	"strings"
	"time"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/orchestrator"
)

// UUID is the uuid of servers and audits that the double creates.
const UUID = "0f0f0f0f-1111-4222-8333-444444444444"

// Unreachable is the secret of a token that cannot be looked up.
const Unreachable = "unreachable"

// Service implements operations.Operations and access.Access in memory. It returns the values
// of its fields and records calls. Methods that no test needs panic. It is not safe for
// concurrent use.
type Service struct {
	operations.Operations
	access.Access

	// ReadErr is the error of methods that read, Err of those that change or test something.
	// Refused has errors of actions on one file, by its uuid. LogErr is the error of AuditLog.
	ReadErr, Err error
	Refused      map[string]error
	LogErr       error

	Servers      []ingest.Server
	Files        []ingest.File
	Events       []ingest.StoredEvent // of every file
	Progressing  map[string]orchestrator.Progress
	Failures     []ingest.FailureGroup
	MoreFailures bool
	Listings     []ingest.Scan
	Reconciled   []ingest.Reconciliation
	// AuditRuns has the audits. StartAudit returns the first one as running.
	AuditRuns     []ingest.AuditRun
	Discrepancies []ingest.Discrepancy
	Log           []ingest.AuditEntry
	// LogPage limits the entries in a page of the audit log; 0 sets no limit.
	LogPage int
	// Now is the time of the overview and of statistics, Hours and ServerStats their content.
	Now         time.Time
	Hours       []ingest.HourStats
	ServerStats []ingest.ServerStats
	Parts       []operations.PartStatus
	// Scan is the started scan. GetScan returns it as running first, and then as Scanned.
	Scan    operations.ScanRun
	Scanned operations.ScanStatus
	// Tested is the result of each test; its sample only when one is requested.
	Tested operations.TestResult
	// Matched is the number of files that ActOnFiles has to act on, in batches of BatchSize;
	// 0 sets no limit. RefusesOne makes it refuse one file of each batch. BatchErr is in its
	// results.
	Matched, BatchSize int64
	RefusesOne         bool
	BatchErr           error
	// Principals are the principals by the secret of their token, which is also the cookie of
	// their session. SessionErr is the error of reading sessions.
	Principals map[string]ingest.Principal
	SessionErr error
	TokenList  []ingest.Token

	// Calls are the calls that changed or tested something, as readable lines. The other
	// fields are the arguments of calls.
	Calls    []string
	Added    operations.NewServer
	Edited   operations.ServerEdit
	Bulk     []operations.BulkRequest
	Filter   ingest.FileFilter
	Logged   []ingest.AuditFilter
	NewToken access.NewToken
	// ScannedServers are the names of the last scan; nil before one.
	ScannedServers []string
	// ReadyCalls counts calls of Ready.
	ReadyCalls int
}

func (s *Service) record(format string, args ...any) {
	s.Calls = append(s.Calls, fmt.Sprintf(format, args...))
}

func missing(format string, args ...any) error {
	return ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, format, args...)
}

// page returns the items after the one with the id, at most limit unless it is 0. An unknown
// id means the first page.
func page[T any](items []T, id func(T) int64, after int64, limit int) (page ingest.Page[T]) {
	for i, item := range items {
		if after != 0 && id(item) == after {
			items = items[i+1:]
			break
		}
	}
	if limit > 0 && len(items) > limit {
		items = items[:limit]
		page.Next = id(items[limit-1])
	}
	page.Items = items
	return page
}

// Overview implements operations.Monitor. Every server has the counts of all files.
func (s *Service) Overview(context.Context) (operations.Overview, error) {
	o := operations.Overview{At: s.Now, Files: map[ingest.Status]int64{}, Hours: s.Hours}
	if o.Hours == nil {
		o.Hours = ingest.NoHours(s.Now)
	}
	for i, file := range s.Files {
		o.Files[file.Status]++
		if file.Status == ingest.StatusError && o.OldestInError == nil {
			o.OldestInError = &s.Files[i]
		}
	}
	for _, server := range s.Servers {
		o.Servers = append(o.Servers, operations.ServerOverview{Server: server, Files: o.Files, Hours: o.Hours})
	}
	return o, s.ReadErr
}

// Statistics implements operations.Monitor.
func (s *Service) Statistics(ctx context.Context, server string, period ingest.Period) (ingest.Statistics, error) {
	if server != "" {
		if _, err := s.GetServer(ctx, server); err != nil {
			return ingest.Statistics{}, err
		}
	}
	statistics := ingest.NewStatistics(period, s.Now)
	for _, hour := range s.Hours {
		statistics.Add(hour)
	}
	statistics.Servers = s.ServerStats
	return statistics, s.ReadErr
}

// Ready implements operations.Monitor.
func (s *Service) Ready(context.Context) []operations.PartStatus {
	s.ReadyCalls++
	return s.Parts
}

// BeginRequest implements operations.Requests: every request is the first with its key.
func (s *Service) BeginRequest(context.Context, ingest.RequestKey, []byte) (ingest.FirstRequest, bool, error) {
	return ingest.FirstRequest{}, true, nil
}

// EndRequest implements operations.Requests.
func (s *Service) EndRequest(context.Context, ingest.RequestKey, []byte) error { return nil }

// Authenticate implements access.Tokens.
func (s *Service) Authenticate(_ context.Context, digest access.Digest) (ingest.Principal, error) {
	if digest == access.DigestOf(Unreachable) {
		return ingest.Principal{}, ingest.Errorf(ingest.KindTransient, "cannot reach PostgreSQL")
	}
	for secret, principal := range s.Principals {
		if digest == access.DigestOf(secret) {
			return principal, nil
		}
	}
	return ingest.Principal{}, access.ErrRefused
}

// CreateToken implements access.Tokens.
func (s *Service) CreateToken(_ context.Context, in access.NewToken) (ingest.Token, string, error) {
	s.NewToken = in
	return ingest.Token{Name: in.Name, Role: in.Role}, "stv_secret", s.Err
}

// ListTokens implements access.Tokens.
func (s *Service) ListTokens(context.Context) ([]ingest.Token, error) { return s.TokenList, s.ReadErr }

// RevokeToken implements access.Tokens.
func (s *Service) RevokeToken(_ context.Context, name string) (ingest.Token, error) {
	for _, token := range s.TokenList {
		if token.Name == name {
			token.RevokedAt = time.Unix(1, 0)
			return token, s.Err
		}
	}
	return ingest.Token{}, missing("no token is called %q", name)
}

// OpenSession implements access.Sessions.
func (s *Service) OpenSession(ctx context.Context, _ access.Digest) (string, error) {
	s.record("log in %s", access.From(ctx).Name)
	return "cookie", s.Err
}

// SessionToken implements access.Sessions.
func (s *Service) SessionToken(_ context.Context, cookie string) (access.Digest, error) {
	if _, known := s.Principals[cookie]; !known && s.SessionErr == nil {
		return access.Digest{}, access.ErrRefused
	}
	return access.DigestOf(cookie), s.SessionErr
}

// AuditLog implements access.Access. Of the filter it applies the action and the position.
func (s *Service) AuditLog(_ context.Context, filter ingest.AuditFilter) (ingest.Page[ingest.AuditEntry], error) {
	s.Logged = append(s.Logged, filter)
	var entries []ingest.AuditEntry
	for _, entry := range s.Log {
		if strings.HasPrefix(entry.Action, filter.Action) {
			entries = append(entries, entry)
		}
	}
	limit := filter.Limit
	if s.LogPage > 0 {
		limit = min(limit, s.LogPage)
	}
	return page(entries, func(e ingest.AuditEntry) int64 { return e.ID }, filter.BeforeID, limit), s.LogErr
}
