package operations

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// fakeLedger is a Ledger in memory. TestLedgersConform compares it with PostgreSQL, except that
// its uuids may be any text.
type fakeLedger struct {
	Ledger  // panics at what is not faked
	mu      sync.Mutex
	servers []ingest.Server
	files   []ingest.File
	events  map[string][]ingest.StoredEvent // by the file's uuid
	canary  []byte
	skips   []string // uuids of skipped files with the key of the action
	audited []ingest.AuditEntry

	// The following are scripted results. err fails reads, auditErr writes of the audit log.
	left          map[string]ingest.ServerLeft
	counts        map[string]map[ingest.Status]int64
	stats         ingest.Stats
	waits         map[string]ingest.PartnerWait
	err, auditErr error
	// begun is the uuid of a file whose workflow has just started.
	begun string

	// decided and resumed record calls.
	decided, resumed []string
}

// pageOf returns the first items, at most limit of them, or the default of 100.
func pageOf[T any](items []T, limit int) []T {
	return items[:min(len(items), cmp.Or(limit, 100))]
}

func (l *fakeLedger) AddServer(_ context.Context, s ingest.Server) (ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.servers {
		switch {
		case other.Name == s.Name && other.UUID == s.UUID:
			return other, nil
		case other.Name == s.Name || other.UUID == s.UUID:
			return ingest.Server{}, ingest.Errorf(ingest.KindConflict, "a server is called %q already", other.Name)
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
	return ingest.Server{}, noServer(nameOrUUID)
}

func (l *fakeLedger) ServerUUID(ctx context.Context, nameOrUUID string) (string, error) {
	server, err := l.ServerByName(ctx, nameOrUUID)
	return server.UUID, err
}

func noServer(nameOrUUID string) error {
	return ingest.Errorf(ingest.KindMissing, "no server named %q", nameOrUUID)
}

// change changes the server with the uuid, unless edit returns an error.
func (l *fakeLedger) change(uuid string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.servers, func(s ingest.Server) bool { return s.UUID == uuid })
	if i < 0 {
		return ingest.Server{}, noServer(uuid)
	}
	changed, err := edit(l.servers[i])
	if err != nil {
		return ingest.Server{}, err
	}
	if other := l.find(changed.Name); other >= 0 && other != i {
		return ingest.Server{}, ingest.Errorf(ingest.KindConflict, "a server is called %q already", changed.Name)
	}
	l.servers[i] = changed
	return changed, nil
}

func (l *fakeLedger) Servers(_ context.Context, after string, limit int) ([]ingest.Server, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var servers []ingest.Server
	for _, s := range l.servers {
		if s.Name > after {
			servers = append(servers, s)
		}
	}
	slices.SortFunc(servers, func(a, b ingest.Server) int { return cmp.Compare(a.Name, b.Name) })
	return pageOf(servers, limit), nil
}

func (l *fakeLedger) RemainingByServer(context.Context) (map[string]ingest.ServerLeft, error) {
	return l.left, nil
}

func (l *fakeLedger) EditServer(_ context.Context, uuid string, edit func(ingest.Server) (ingest.Server, error)) (ingest.Server, error) {
	return l.change(uuid, edit)
}

func (l *fakeLedger) KeysetCanary(context.Context) ([]byte, error) { return l.canary, nil }

func (l *fakeLedger) KeepKeysetCanary(_ context.Context, earlier, sealed []byte) ([]byte, error) {
	if l.canary == nil || bytes.Equal(l.canary, earlier) {
		l.canary = sealed
	}
	return l.canary, nil
}

func (l *fakeLedger) DecideChanges(_ context.Context, _ string, decision ingest.ChangesDecision, part, actor, reason, key string) (int64, error) {
	l.decided = append(l.decided, strings.Join([]string{string(decision), actor, reason, key}, " "))
	return 3, nil
}

func (l *fakeLedger) PauseServer(_ context.Context, uuid string) error {
	_, err := l.change(uuid, func(s ingest.Server) (ingest.Server, error) {
		s.Active = false
		return s, nil
	})
	return err
}

func (l *fakeLedger) ResumeServer(_ context.Context, uuid string) error {
	_, err := l.change(uuid, func(s ingest.Server) (ingest.Server, error) {
		l.resumed = append(l.resumed, uuid)
		s.Active, s.State, s.LastError = true, ingest.ServerOK, ""
		return s, nil
	})
	return err
}

// matching returns the files that the filter selects, regardless of its limit. Filters that are
// not faked panic.
func (l *fakeLedger) matching(f ingest.FileFilter) (files []ingest.File, err error) {
	faked := ingest.FileFilter{Server: f.Server, Statuses: f.Statuses, UUIDs: f.UUIDs, AfterID: f.AfterID, Limit: f.Limit, Order: f.Order}
	if f.Order == ingest.OrderNewest || !reflect.DeepEqual(f, faked) {
		panic(fmt.Sprintf("fakeLedger lacks a part of the filter %+v", f))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	server := ""
	if f.Server != "" {
		i := l.find(f.Server)
		if i < 0 {
			return nil, noServer(f.Server)
		}
		server = l.servers[i].UUID
	}
	for _, file := range l.files {
		if file.ID > f.AfterID && (server == "" || file.ServerUUID == server) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, file.Status)) && (len(f.UUIDs) == 0 || slices.Contains(f.UUIDs, file.UUID)) {
			files = append(files, file)
		}
	}
	return files, l.err
}

func (l *fakeLedger) FilesPage(_ context.Context, f ingest.FileFilter) (page ingest.Page[ingest.File], err error) {
	files, err := l.matching(f)
	page.Items = pageOf(files, f.Limit)
	if len(page.Items) < len(files) {
		page.Next = page.Items[len(page.Items)-1].ID
	}
	return page, err
}

func (l *fakeLedger) CountMatching(_ context.Context, f ingest.FileFilter) (int64, error) {
	files, err := l.matching(f)
	return int64(len(files)), err
}

func (l *fakeLedger) Files(_ context.Context, f ingest.FileFilter) ([]ingest.File, error) {
	files, err := l.matching(f)
	return pageOf(files, f.Limit), err
}

func (l *fakeLedger) SkipNotStarted(_ context.Context, file ingest.File, by ingest.OperatorAction) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.files {
		f := &l.files[i]
		if f.UUID == file.UUID && f.UUID != l.begun && (f.Status == ingest.StatusDiscovered || f.Status == ingest.StatusReady) {
			f.Status = ingest.StatusSkipped
			l.decided = append(l.decided, file.UUID+" "+by.Reason)
			l.skips = append(l.skips, f.UUID+" "+by.Key)
		}
	}
	return slices.Contains(l.skips, file.UUID+" "+by.Key), nil
}

func (l *fakeLedger) Stats(context.Context) (ingest.Stats, error) { return l.stats, l.err }

func (l *fakeLedger) FindFile(_ context.Context, prefix string) (ingest.File, error) {
	if len(prefix) < 4 {
		return ingest.File{}, ingest.Errorf(ingest.KindInvalid, "file %q: enter more digits", prefix)
	}
	var found []ingest.File
	for _, file := range l.files {
		if strings.HasPrefix(file.UUID, prefix) {
			found = append(found, file)
		}
	}
	switch len(found) {
	case 0:
		return ingest.File{}, ingest.Errorf(ingest.KindMissing, "no file with uuid %q", prefix)
	case 1:
		return found[0], nil
	default:
		return ingest.File{}, ingest.Errorf(ingest.KindConflict, "several uuids begin with %q", prefix)
	}
}

// addEvents adds n events of the file.
func (l *fakeLedger) addEvents(fileUUID string, n int) {
	if l.events == nil {
		l.events = map[string][]ingest.StoredEvent{}
	}
	for range n {
		l.events[fileUUID] = append(l.events[fileUUID], ingest.StoredEvent{ID: int64(len(l.events[fileUUID]) + 1)})
	}
}

func (l *fakeLedger) Events(ctx context.Context, fileUUID string, after int64, limit int) (events []ingest.StoredEvent, err error) {
	for _, e := range l.events[fileUUID] {
		if e.ID > after {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		_, err = l.FindFile(ctx, fileUUID)
	}
	return pageOf(events, limit), err
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
		if l.audited[i].Key == key && l.audited[i].Outcome == ingest.ActionUnknown {
			l.audited[i].Outcome, l.audited[i].Error = outcome, reason
		}
	}
	return nil
}

func (l *fakeLedger) Record(_ context.Context, e ingest.AuditEntry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.auditErr != nil {
		return l.auditErr
	}
	if !slices.ContainsFunc(l.audited, func(other ingest.AuditEntry) bool { return other.Key == e.Key }) {
		e.Outcome = ingest.ActionUnknown
		l.audited = append(l.audited, e)
	}
	return nil
}

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

// fakeEngine is an Orchestrator whose workflows never run. TestOrchestratorsConform compares it
// with Temporal, unless results are scripted.
type fakeEngine struct {
	started  []workflows.ScanAllServersInput
	startErr error
	// open holds the ids of started audits and ingests.
	open map[string]bool

	// scan, if set, is the state of each scan.
	scan      orchestrator.Execution
	scans     map[string]time.Duration // by workflow id, with their delay
	scanErr   error
	described map[string]orchestrator.Execution

	// mu guards decided, reason and open, because requests may be concurrent. decided and
	// ingests record the requests. Act returns the result of decide or, if it is nil,
	// decideErr.
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

// begin adds a workflow and reports whether it was not open.
func (e *fakeEngine) begin(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open == nil {
		e.open = map[string]bool{}
	}
	added := !e.open[id]
	e.open[id] = true
	return added
}

// describe returns an error like Temporal's unless the workflow is open.
func (e *fakeEngine) describe(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.open[id] {
		return errNoWorkflow
	}
	return nil
}

var errNoWorkflow = ingest.Wrap(ingest.KindMissing, errors.New("not found"), "Temporal has no workflow file/x")

func (e *fakeEngine) StartAudit(_ context.Context, runUUID string) error {
	if e.startErr == nil {
		e.begin(temporalnames.AuditWorkflowID(runUUID))
	}
	return e.startErr
}

func (e *fakeEngine) AuditRunning(_ context.Context, runUUID string) (bool, error) {
	err := e.describe(temporalnames.AuditWorkflowID(runUUID))
	return err == nil, err
}

func (e *fakeEngine) IngestProgress(_ context.Context, fileUUID string) (orchestrator.Progress, bool, error) {
	return orchestrator.Progress{}, false, e.describe(temporalnames.IngestWorkflowID(fileUUID))
}

func (e *fakeEngine) StartIngest(_ context.Context, file ingest.File, in workflows.FileIngestInput) error {
	if e.decideErr == nil && !e.begin(temporalnames.IngestWorkflowID(file.UUID)) {
		return ingest.Errorf(ingest.KindConflict, "workflow %s is already running", temporalnames.IngestWorkflowID(file.UUID))
	}
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
	if _, there := e.scans[id]; !there {
		e.scans[id] = delay
		e.started = append(e.started, in)
	}
	return "run of " + id, e.startErr
}

func (e *fakeEngine) DescribeScan(_ context.Context, id string) (orchestrator.Execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	scripted := e.scanErr != nil || !reflect.DeepEqual(e.scan, orchestrator.Execution{})
	if _, there := e.scans[id]; there && !scripted {
		return orchestrator.Execution{RunID: "run of " + id, Running: true}, nil
	}
	if !scripted {
		return orchestrator.Execution{}, errNoWorkflow
	}
	return e.scan, e.scanErr
}

func (e *fakeEngine) DescribeServer(_ context.Context, uuid string) (orchestrator.Execution, error) {
	if execution, ok := e.described[uuid]; ok {
		return execution, nil
	}
	return orchestrator.Execution{}, errNoWorkflow
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
		Ledger: b.ledger, Keyring: Provide[Keyring](testKeys), Prober: b.prober, Orchestrator: b.engine,
		NewUUID: func() string { return "11111111-2222-4333-8444-555555555555" },
	})
	return b
}
