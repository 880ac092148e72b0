package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

const (
	// streamFor is the time for which a stream is read.
	streamFor = 150 * time.Millisecond
	// rounds is the number of good requests per operation, and of requests that
	// only match the specification.
	rounds = 4
	// shownFaults limits the output, so that the first fault stays visible.
	shownFaults = 40
)

// TestEveryOperationIsAsSpecified sends valid and invalid requests to every operation of
// openapi.yaml and validates the responses against it. New and changed operations are
// covered automatically. All runs send the same requests.
// STEVEDORE_TEST_PROPERTY_SEED=random sends others and logs their seed; that seed as value
// repeats them.
func TestEveryOperationIsAsSpecified(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	for _, op := range d.operations {
		d.driveGood(t, op)
		d.driveWrong(t, op)
		d.driveRoles(t, op)
		d.driveRepeats(t, op)
	}
	d.driveOtherMethods(t)
	d.driveWithoutEngine(t)
	d.driveUnknownTokens(t) // at the end, because an address with many wrong tokens is refused
	for _, op := range d.operations {
		require.Positive(t, op.succeeded, "%s never succeeded: give the test a known value for what it needs", op.OperationID)
		require.Positive(t, op.refused, "%s never refused anything", op.OperationID)
	}
	t.Logf("drove %d operations with %d requests; STEVEDORE_TEST_PROPERTY_SEED=%d repeats them", len(d.operations), d.requests, d.seed)
}

// driver sends requests to the running API.
type driver struct {
	doc        *openapi3.T
	operations []*operation
	service    *realBundle
	url        string
	client     *http.Client
	maker      maker
	seed       uint64
	// tokens are valid tokens by role.
	tokens   map[string]string
	requests int
	faults   int
}

func newDriver(t *testing.T) *driver {
	t.Helper()
	d := &driver{doc: loadSpecification(t), service: setupReal(t), seed: 1, tokens: map[string]string{}}
	d.service.engine.endAudit = d.service.store.EndAudit
	switch text := os.Getenv("STEVEDORE_TEST_PROPERTY_SEED"); text {
	case "":
	case "random":
		d.seed = rand.Uint64()
	default:
		var err error
		d.seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "STEVEDORE_TEST_PROPERTY_SEED")
	}
	d.operations = operationsOf(d.doc)
	server := httptest.NewServer(d.service.handler)
	t.Cleanup(server.Close)
	d.url, d.client = server.URL, server.Client()
	d.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	d.maker = maker{random: rand.New(rand.NewPCG(d.seed, 0)), known: d.fixtures(t)}
	for _, role := range ingest.Roles {
		created := d.service.call("POST", "/api/v1/tokens", fmt.Sprintf(`{"name":"a-%s","role":%q}`, role, role))
		d.tokens[string(role)] = decode[openapi.NewToken](t, created).Token
	}
	return d
}

// fixtures adds records to the ledger and returns references to them.
func (d *driver) fixtures(t *testing.T) map[string]func() any {
	t, b := t, d.service
	b.server(t, "acme")
	scratch := b.server(t, "scratch")
	_, err := b.store.EditServer(t.Context(), scratch.UUID, func(s ingest.Server) (ingest.Server, error) {
		s.Host = "scratch.example.com" // the folders of acme never overlap with it
		return s, nil
	})
	require.NoError(t, err)
	file := b.failed(t, scratch, "/in/\xff\u202e\x1b[31m<script>=cmd.csv")
	completed := b.failed(t, scratch, "/in/completed.csv")
	for _, to := range []ingest.Status{ingest.StatusUploaded, ingest.StatusCompleted} {
		require.NoError(t, b.store.Apply(t.Context(), ingest.Change{FileUUID: completed.UUID, To: to}))
	}
	require.Equal(t, 201, b.call("POST", "/api/v1/tokens", `{"name":"spare","role":"viewer"}`).Code)
	audit := decode[openapi.AuditRun](t, b.call("POST", "/api/v1/audits", "")).AuditUUID
	require.NoError(t, b.store.FinishScan(t.Context(), ingest.ScanResult{ServerUUID: scratch.UUID, Key: "known"}))
	number := 0
	unique := func() any { number++; return "n-" + strconv.Itoa(number) }
	is := func(value any) func() any { return func() any { return value } }
	known := map[string]func() any{
		"server": is("acme"), "servers": is([]any{"acme"}), "editServer.server": is(scratch.UUID), "pauseServer.server": is("scratch"),
		"removeServer.server": func() any { return b.server(t, "doomed-"+unique().(string)).Name },
		"file_uuid":           is(file.UUID), "audit_uuid": is(audit), "file_uuids": is([]any{file.UUID}), "reprocessFile.file_uuid": is(completed.UUID), "approveHostKey.expires": is("2099-01-31"), "If-Match": is("*"), "Last-Event-ID": is(0), "cursor": is(nil), "expected_count": is(nil),
		"name": unique, "Idempotency-Key": unique, "revokeToken.name": is("spare"), "editServer.name": is(nil), "editServer.host": is("scratch.example.com"), "skipFiles.from": is(nil),
		"retryFiles.status": is(nil), "expires": is("2099-01-31"), "createServer.host": func() any { return unique().(string) + ".example.com" },
		"fingerprint": is(b.prober.presented.Fingerprint), "host_keys": is([]any{b.prober.presented.KeyLine}),
		"host": is("sftp.example.com"), "username": is("u"), "password": is("p"), "private_key": is(nil), "passphrase": is(nil), "certificate": is(nil), "root_path": is("/out"),
		"getServerScan.id": is(1), "listAuditLog.action": is("server.edit"), "path": is("**/*.csv"),
		"include": is([]any{"**/*.csv"}), "exclude": is([]any{"*.tmp"}), "after_ingest": is("move:/done"), "done_marker": is("*.done"),
		"in_progress_names": is([]any{"default", "*.wip"}), "proxy": is("socks5://proxy.example:1080"), "jump": is(""),
	}
	for _, duration := range []string{"settle", "scan_interval", "min_age", "sidecar_wait", "connect_timeout", "login_timeout", "answer_timeout"} {
		known[duration] = is("10s")
	}
	return known
}

// send sends a request and counts the results.
func (d *driver) send(t *testing.T, draft draft) answer {
	t.Helper()
	request, err := draft.request(d.url)
	require.NoError(t, err)
	return d.exchange(t, draft.op, request)
}

func (d *driver) exchange(t *testing.T, op *operation, request *http.Request) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	d.requests++
	before := d.service.engine.startedCount()
	response, err := d.client.Do(request.WithContext(ctx))
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	streams := strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream")
	if streams {
		time.AfterFunc(streamFor, cancel)
	}
	body, err := io.ReadAll(response.Body)
	if !streams || !errors.Is(err, context.Canceled) {
		require.NoError(t, err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: body, started: d.service.engine.startedCount() > before}
	switch {
	case a.status < 300:
		op.succeeded++
	case a.status >= 400 && a.status < 500:
		op.refused++
	}
	return a
}

// judge reports the faults of a response.
func (d *driver) judge(t *testing.T, op *operation, what string, a answer, more ...string) {
	t.Helper()
	faults := append(op.broken(d.doc, a), more...)
	if a.status >= 500 {
		faults = append(faults, "a fault of ours")
	}
	if len(faults) == 0 {
		return
	}
	if d.faults++; d.faults > shownFaults {
		t.FailNow()
	}
	shown := a.body[:min(len(a.body), 400)]
	t.Errorf("%s, %s (STEVEDORE_TEST_PROPERTY_SEED=%d): %d %s\n  %s", op.OperationID, what, d.seed, a.status, shown, strings.Join(faults, "\n  "))
}

// driveGood sends requests that must succeed, and requests that match the
// specification with arbitrary values.
func (d *driver) driveGood(t *testing.T, op *operation) {
	for i := range rounds {
		a := d.send(t, d.maker.good(op))
		var faults []string
		if a.status >= 300 {
			faults = append(faults, "should have succeeded")
		}
		d.judge(t, op, "good", a, faults...)
		if i > 0 && len(op.parameters) == 0 && op.body == nil {
			return // the operation has only one request
		}
		d.judge(t, op, "random", d.send(t, d.maker.draft(op, false)))
	}
}

// driveWrong makes good requests invalid, each in one way.
func (d *driver) driveWrong(t *testing.T, op *operation) {
	for _, wrong := range d.maker.wrongs(op) {
		draft := d.maker.good(op).clone()
		wrong.spoil(&draft)
		a := d.exchange(t, op, d.encoded(t, draft))
		var faults []string
		if wrong.status != 0 && a.status != wrong.status {
			faults = append(faults, fmt.Sprintf("%d is due", wrong.status))
		}
		if wrong.status == 400 && a.status == 400 && wrong.field != "" {
			problem, err := readProblem(a)
			if err != nil || !strings.Contains(problem.text(), wrong.field) && !strings.Contains(problem.text(), "encoded slash") {
				faults = append(faults, "the problem does not name "+wrong.field)
			}
		}
		if a.status >= 400 {
			// Answers quote what was sent, which may contain such words.
			if word := libraryWords.FindString(string(a.body)); word != "" && !strings.Contains(wrong.what, word) {
				faults = append(faults, "the answer has the words of a library: "+word)
			}
		}
		d.judge(t, op, wrong.what, a, faults...)
	}
}

// encoded replaces text in the body with bytes that encoders would not write.
func (d *driver) encoded(t *testing.T, draft draft) *http.Request {
	request, err := draft.request(d.url)
	require.NoError(t, err)
	if draft.body != nil && draft.raw == nil {
		body, err := io.ReadAll(request.Body)
		require.NoError(t, err)
		draft.raw = bytes.ReplaceAll(body, []byte(notUTF8), []byte{0xff})
		request, err = draft.request(d.url)
		require.NoError(t, err)
	}
	return request
}

// driveRoles sends requests without a token and with a token of each role.
func (d *driver) driveRoles(t *testing.T, op *operation) {
	for _, role := range []string{"", "viewer", "operator", "admin"} {
		draft := d.maker.good(op)
		draft.token = d.tokens[role]
		a := d.send(t, draft)
		want := 0
		switch {
		case op.role == "":
		case role == "":
			want = 401
		case !ingest.Role(role).Allows(ingest.Role(op.role)):
			want = 403
		}
		var faults []string
		if want != 0 && a.status != want || want == 0 && a.status >= 300 {
			faults = append(faults, fmt.Sprintf("x-role is %q: %d is due", op.role, want))
		}
		d.judge(t, op, "as "+strconv.Quote(role), a, faults...)
	}
}

// driveRepeats sends a request twice under one Idempotency-Key, and then
// another request under the same key.
func (d *driver) driveRepeats(t *testing.T, op *operation) {
	if !slices.ContainsFunc(op.parameters, func(p *openapi3.Parameter) bool { return p.Name == "Idempotency-Key" }) {
		return
	}
	draft := d.maker.good(op)
	draft.header.Set("Idempotency-Key", "key of "+op.OperationID)
	first, again := d.send(t, draft), d.send(t, draft)
	var faults []string
	same := first.status == again.status && bytes.Equal(first.body, again.body)
	for _, name := range []string{"Content-Type", "Location", "ETag"} {
		same = same && first.header.Get(name) == again.header.Get(name)
	}
	if !same || again.header.Get("Idempotency-Replayed") != "true" {
		faults = append(faults, "not the answer of the first one: "+string(first.body))
	}
	d.judge(t, op, "the same again", again, faults...)
	other := draft.clone()
	other.path["server"], other.path["file_uuid"] = "other", fileUUID
	if op.body != nil {
		other.body = map[string]any{"reason": "another", "name": "another", "servers": []any{}, "filter": map[string]any{}}
		if first := draft.body.(map[string]any); first["fingerprint"] != nil {
			other.body = maps.Clone(first)
		}
	}
	a := d.send(t, other)
	if a.status != 422 && a.status != 400 { // an invalid body is detected first
		d.judge(t, op, "another with the key", a, "422 is due")
	}
}

// driveOtherMethods sends methods that the paths do not support.
func (d *driver) driveOtherMethods(t *testing.T) {
	for path, item := range d.doc.Paths.Map() {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if item.GetOperation(method) != nil {
				continue
			}
			draft := d.maker.good(d.operations[slices.IndexFunc(d.operations, func(op *operation) bool { return op.path == path })])
			op := *draft.op
			op.method = method
			draft.op, draft.body, draft.query = &op, nil, nil
			a := d.send(t, draft)
			var faults []string
			if a.status != 405 || a.header.Get("Allow") == "" {
				faults = append(faults, "405 with an Allow header is due")
			}
			d.judge(t, &op, method+" "+path, a, faults...)
		}
	}
}

// driveWithoutEngine: without Temporal, operations succeed, or return 503 if the
// specification lists it.
func (d *driver) driveWithoutEngine(t *testing.T) {
	d.service.engine.fail(ingest.Errorf(ingest.KindTransient, "cannot reach Temporal: check TEMPORAL_ADDRESS"))
	for _, op := range d.operations {
		a := d.send(t, d.maker.good(op))
		faults := op.broken(d.doc, a)
		if a.status >= 500 && (a.status != 503 || op.Responses.Status(503) == nil) {
			faults = append(faults, "no 503 is declared")
		}
		if len(faults) > 0 {
			t.Errorf("%s without Temporal: %d %s\n  %s", op.OperationID, a.status, a.body, strings.Join(faults, "\n  "))
		}
	}
	d.service.engine.fail(nil)
}

func (d *driver) driveUnknownTokens(t *testing.T) {
	for _, op := range d.operations {
		if op.role == "" {
			continue
		}
		draft := d.maker.good(op)
		draft.token = "stv_unknown"
		a := d.send(t, draft)
		var faults []string
		if a.status != 401 && a.status != 429 {
			faults = append(faults, "401 or 429 is due")
		}
		d.judge(t, op, "with an unknown token", a, faults...)
	}
}
