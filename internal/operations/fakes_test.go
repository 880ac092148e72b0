package operations

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/workflows"
)

// fakeLedger is a Ledger in memory.
type fakeLedger struct {
	left    map[string]ingest.ServerLeft
	Ledger  // panics at what is not faked
	mu      sync.Mutex
	servers []ingest.Server
	decided []string
	begun   string
	files   []ingest.File
	events  []ingest.StoredEvent
	counts  map[string]map[ingest.Status]int64
	stats   ingest.Stats
	resumed []string
	err     error
	waits   map[string]ingest.PartnerWait

	audited  []ingest.AuditEntry
	auditErr error
}

func (l *fakeLedger) AddServer(_ context.Context, s ingest.Server) (ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.servers {
		if other.Name == s.Name {
			return ingest.Server{}, ingest.Errorf(ingest.KindConflict, "a server is called %q already", s.Name)
		}
	}
	l.servers = append(l.servers, s)
	return s, nil
}

func (l *fakeLedger) find(nameOrUUID string) int {
	return slices.IndexFunc(l.servers, func(s ingest.Server) bool { return s.Name == nameOrUUID || s.UUID == nameOrUUID })
}

func (l *fakeLedger) ServerByName(_ context.Context, nameOrUUID string) (ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return ingest.Server{}, l.err
	}
	if i := l.find(nameOrUUID); i >= 0 {
		return l.servers[i], nil
	}
	return ingest.Server{}, ingest.Errorf(ingest.KindMissing, "no server named %q", nameOrUUID)
}

func (l *fakeLedger) Servers(_ context.Context, after string, limit int) ([]ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var page []ingest.Server
	for _, s := range l.servers {
		if s.Name > after && len(page) < limit {
			page = append(page, s)
		}
	}
	return page, nil
}

func (l *fakeLedger) RemainingByServer(context.Context) (map[string]ingest.ServerLeft, error) {
	return l.left, nil
}

func (l *fakeLedger) EditServer(_ context.Context, uuid string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	edited, err := edit(l.servers[l.find(uuid)])
	if err == nil {
		l.servers[l.find(uuid)] = edited
	}
	return edited, err
}

func (l *fakeLedger) KeysetCanary(context.Context) ([]byte, error) { return nil, nil }

func (l *fakeLedger) KeepKeysetCanary(_ context.Context, _, sealed []byte) ([]byte, error) {
	return sealed, nil
}

func (l *fakeLedger) DecideChanges(_ context.Context, _ string, decision ingest.ChangesDecision, part, actor, reason, key string) (int64, error) {
	l.decided = append(l.decided, strings.Join([]string{string(decision), actor, reason, key}, " "))
	return 3, nil
}

func (l *fakeLedger) PauseServer(_ context.Context, uuid string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.servers[l.find(uuid)].Active = false
	return nil
}

func (l *fakeLedger) ResumeServer(_ context.Context, uuid string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.resumed = append(l.resumed, uuid)
	s := &l.servers[l.find(uuid)]
	s.Active, s.State = true, ingest.ServerOK
	return nil
}

func (l *fakeLedger) FilesPage(_ context.Context, f ingest.FileFilter) (page ingest.Page[ingest.File], err error) {
	for _, file := range l.files {
		switch {
		case file.ID <= f.AfterID:
		case len(page.Items) < f.Limit:
			page.Items = append(page.Items, file)
		default:
			page.Next = page.Items[f.Limit-1].ID
			return page, nil
		}
	}
	return page, nil
}

// matching returns the files with the filter's statuses after its position.
func (l *fakeLedger) matching(f ingest.FileFilter) (files []ingest.File) {
	for _, file := range l.files {
		if file.ID > f.AfterID && slices.Contains(f.Statuses, file.Status) {
			files = append(files, file)
		}
	}
	return files
}

func (l *fakeLedger) CountMatching(_ context.Context, f ingest.FileFilter) (int64, error) {
	return int64(len(l.matching(f))), l.err
}

func (l *fakeLedger) Files(_ context.Context, f ingest.FileFilter) ([]ingest.File, error) {
	files := l.matching(f)
	return files[:min(len(files), f.Limit)], l.err
}

func (l *fakeLedger) Stats(context.Context) (ingest.Stats, error) { return l.stats, l.err }

func (l *fakeLedger) FindFile(_ context.Context, prefix string) (ingest.File, error) {
	for _, file := range l.files {
		if strings.HasPrefix(file.UUID, prefix) {
			return file, nil
		}
	}
	return ingest.File{}, ingest.Errorf(ingest.KindMissing, "no file with uuid %q", prefix)
}

func (l *fakeLedger) Events(_ context.Context, _ string, after int64, limit int) ([]ingest.StoredEvent, error) {
	var page []ingest.StoredEvent
	for _, e := range l.events {
		if e.ID > after && len(page) < limit {
			page = append(page, e)
		}
	}
	return page, nil
}

func (l *fakeLedger) CountFilesByServer(context.Context, []string) (map[string]map[ingest.Status]int64, error) {
	return l.counts, l.err
}

func (l *fakeLedger) PartnerWaits(context.Context, []string) (map[string]ingest.PartnerWait, error) {
	return l.waits, l.err
}

func (l *fakeLedger) CompleteEntry(_ context.Context, key string, outcome ingest.ActionOutcome, reason string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.audited {
		if l.audited[i].Key == key {
			l.audited[i].Outcome, l.audited[i].Error = outcome, reason
		}
	}
	return nil
}

func (l *fakeLedger) Record(_ context.Context, e ingest.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.audited = append(l.audited, e)
	return l.auditErr
}

// fakeSealer marks sealed values.
type fakeSealer struct{ Keyring }

func (fakeSealer) SealAll(server ingest.Server, creds ingest.Credentials) (ingest.Server, error) {
	if n := len(creds.Password); n > 0 {
		server.PasswordEncrypted = []byte("sealed:password:" + server.UUID + ":" + strings.Repeat("*", n))
	}
	if n := len(creds.PrivateKey); n > 0 {
		server.PrivateKeyEncrypted = []byte("sealed:private_key:" + server.UUID + ":" + strings.Repeat("*", n))
	}
	return server, nil
}

func (fakeSealer) Reseal(_, to ingest.Server) (ingest.Server, error) { return to, nil }

func (fakeSealer) Check(context.Context, credentials.Canaries) error { return nil }

// fakeProber returns an error unless the presented key is pinned.
type fakeProber struct {
	presented ProbeResult
	login     error
	calls     int
	drafts    []Draft
}

func (p *fakeProber) Probe(_ context.Context, s ingest.Server, _ bool) (ProbeResult, error) {
	p.calls++
	if !pinned(s.HostKeys, p.presented.Fingerprint) {
		return p.presented, ingest.Errorf(ingest.KindHostKey, "not pinned")
	}
	return p.presented, p.login
}

func (p *fakeProber) ProbeDraft(ctx context.Context, draft Draft, sample bool) (ProbeResult, error) {
	p.drafts = append(p.drafts, draft)
	return p.Probe(ctx, draft.Server, sample)
}

// fakeEngine is an Orchestrator with scripted results.
type fakeEngine struct {
	started  []workflows.ScanAllServersInput
	startErr error

	scan      orchestrator.Execution
	scans     map[string]time.Duration // by workflow id, with their delay
	scanErr   error
	described map[string]orchestrator.Execution

	// decided and ingests record the requests. decideErr is the result unless decide, which
	// may be called concurrently, is set.
	mu        sync.Mutex
	decided   []string
	reason    string // of the last decision
	decide    func(fileUUID string) error
	ingests   []workflows.FileIngestInput
	decideErr error
	// taken reports whether the request's action was accepted before.
	taken bool
}

func (e *fakeEngine) Act(_ context.Context, fileUUID, update string, d workflows.OperatorAction) error {
	e.mu.Lock()
	e.decided, e.reason = append(e.decided, update+" "+fileUUID+" by "+d.Actor), d.Reason
	e.mu.Unlock()
	if e.decide != nil {
		return e.decide(fileUUID)
	}
	return e.decideErr
}

func (e *fakeEngine) Accepted(context.Context, string, string) (bool, error) { return e.taken, nil }

func (e *fakeEngine) StartAudit(context.Context, string) error { return e.startErr }

func (e *fakeEngine) AuditRunning(context.Context, string) (bool, error) { return true, nil }

func (e *fakeEngine) IngestProgress(context.Context, string) (orchestrator.Progress, bool, error) {
	return orchestrator.Progress{}, false, nil
}

func (e *fakeEngine) StartIngest(_ context.Context, _ ingest.File, in workflows.FileIngestInput) error {
	e.ingests = append(e.ingests, in)
	return e.decideErr
}

func (e *fakeEngine) Reprocess(_ context.Context, _ ingest.File, in workflows.FileIngestInput) error {
	e.ingests = append(e.ingests, in)
	return e.decideErr
}

func (e *fakeEngine) StartScan(_ context.Context, id string, in workflows.ScanAllServersInput, delay time.Duration) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.scans == nil {
		e.scans = map[string]time.Duration{}
	}
	if _, there := e.scans[id]; there {
		return "run-1", e.startErr
	}
	e.scans[id] = delay
	e.started = append(e.started, in)
	return "run-1", e.startErr
}

func (e *fakeEngine) DescribeScan(_ context.Context, id string) (orchestrator.Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, there := e.scans[id]; !there && e.scanErr == nil && e.scan.Err == nil && !e.scan.Running && e.scan.ClosedAt.IsZero() {
		return orchestrator.Execution{}, ingest.Errorf(ingest.KindMissing, "no such workflow")
	}
	return e.scan, e.scanErr
}

func (e *fakeEngine) DescribeServer(_ context.Context, uuid string) (orchestrator.Execution, error) {
	if execution, ok := e.described[uuid]; ok {
		return execution, nil
	}
	return orchestrator.Execution{}, ingest.Errorf(ingest.KindMissing, "no such workflow")
}

// bundle is a Service on fakes.
type bundle struct {
	*Service
	ledger *fakeLedger
	prober *fakeProber
	engine *fakeEngine
}

func setup(servers ...ingest.Server) *bundle {
	b := &bundle{ledger: &fakeLedger{servers: servers}, prober: &fakeProber{}, engine: &fakeEngine{}}
	b.Service = New(Deps{
		Ledger: b.ledger, Keyring: Provide[Keyring](fakeSealer{}), Prober: b.prober, Orchestrator: b.engine,
		NewUUID: func() string { return "11111111-2222-4333-8444-555555555555" },
	})
	return b
}
