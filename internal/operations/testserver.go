package operations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

// TestResult is the result of a server test.
type TestResult struct {
	Server ingest.Server
	// Presented holds the server's host key and further findings.
	Presented ProbeResult
	// Pinned reports whether this test pinned the key.
	Pinned bool
	// Resumed reports whether the test ended a suspension.
	Resumed bool
}

// MaxTest bounds a server test by HTTP. The server's own timeouts apply within it.
const MaxTest = 5 * time.Minute

// ErrMaxTest is the cancellation cause of a server test that exceeds MaxTest.
var ErrMaxTest = fmt.Errorf("a server test by the API ends after %s", MaxTest)

// TestRequest holds the options of a server test.
type TestRequest struct {
	// Approve is the fingerprint, "SHA256:...", of the host key to pin; empty for none.
	Approve string
	// Expires is the last day, "2027-01-31", on which the pinned key is accepted; empty
	// means no expiry.
	Expires string
	// Sample also lists files that the patterns include, for at most 15 seconds.
	Sample bool
}

func (r TestRequest) check() error {
	_, err := ingest.HostKeyExpiry("expires=" + r.Expires)
	if r.Expires != "" && (err != nil || r.Approve == "") {
		return ingest.Errorf(ingest.KindInvalid, "expires %q: use a day like 2027-01-31, together with the fingerprint of a key to pin", ingest.Summary(r.Expires))
	}
	return nil
}

// line returns the line to pin for the key, with the expiry.
func (r TestRequest) line(key string) string {
	if r.Expires == "" {
		return key
	}
	return key + " expires=" + r.Expires
}

// TestServer implements Servers.
func (s *Service) TestServer(ctx context.Context, nameOrUUID string, ask TestRequest) (TestResult, error) {
	if err := ask.check(); err != nil {
		return TestResult{}, err
	}
	server, err := s.GetServer(ctx, nameOrUUID)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{Server: server}
	result.Presented, err = s.d.Prober.Probe(ctx, server, ask.Sample)
	if ask.Approve != "" {
		if mismatch := approved(result.Presented, ask.Approve, err); mismatch != nil {
			return result, mismatch
		}
		if ask.Expires != "" || !pinned(server.HostKeys, ask.Approve) || ingest.IsKind(err, ingest.KindHostKey) {
			err = s.pin(ctx, &result, ask)
		}
	}
	if err != nil {
		return result, explainHostKey(result, err)
	}
	err = s.endSuspension(ctx, &result)
	return result, err
}

// draftName names a server without a name in messages.
const draftName = "draft"

// TestSettings implements Servers. The credentials are sealed for the draft, as for a saved
// server, and nothing is stored.
func (s *Service) TestSettings(ctx context.Context, in NewServer, sample bool) (TestResult, error) {
	if in.Server.Name == "" {
		in.Server.Name = draftName
	}
	server, creds, err := s.newServer(ctx, in)
	if err != nil {
		return TestResult{}, err
	}
	if server, err = s.seal(ctx, server, creds); err != nil {
		return TestResult{}, err
	}
	return s.testDraft(ctx, Draft{Server: server}, sample)
}

// TestEdit implements Servers.
func (s *Service) TestEdit(ctx context.Context, nameOrUUID, version string, edit ServerEdit, sample bool) (TestResult, error) {
	server, err := s.serverAt(ctx, nameOrUUID, version)
	if err != nil {
		return TestResult{}, err
	}
	edited, err := s.edited(ctx, server, edit) // refuses stored credentials for another destination
	if err != nil {
		return TestResult{}, err
	}
	keeps := edit.Password == nil && len(server.PasswordEncrypted) > 0
	return s.testDraft(ctx, Draft{Server: edited, Saved: &server, KeepsPassword: keeps}, sample)
}

func (s *Service) testDraft(ctx context.Context, draft Draft, sample bool) (result TestResult, err error) {
	result.Server = draft.Server
	result.Presented, err = s.d.Prober.ProbeDraft(ctx, draft, sample)
	if ingest.IsKind(err, ingest.KindHostKey) && result.Presented.Fingerprint != "" && len(draft.HostKeys) == 0 {
		err = ingest.Errorf(ingest.KindHostKey, "the server presents %s: its host key is not pinned yet, so no credentials were sent; "+
			"check it with the partner, then pin it", result.Presented.Fingerprint)
	} else if err != nil {
		err = explainHostKey(result, err)
	}
	return result, err
}

func (s *Service) endSuspension(ctx context.Context, result *TestResult) error {
	// Resuming would also activate a paused server, which a test must not do.
	if result.Server.State != ingest.ServerSuspended || !result.Server.Active {
		return nil
	}
	resume := func(string) error { return s.d.Ledger.ResumeServer(ctx, result.Server.UUID) }
	if err := s.trail.Do(ctx, "server.test_resumes", result.Server.Name, map[string]any{"server_uuid": result.Server.UUID}, resume); err != nil {
		return err
	}
	result.Server.State, result.Server.LastError, result.Resumed = ingest.ServerOK, "", true
	return nil
}

// approved returns an error if the presented key is not the approved one.
func approved(presented ProbeResult, approve string, probe error) error {
	switch presented.Fingerprint {
	case approve:
		return nil
	case "":
		if probe != nil {
			return probe
		}
		return ingest.Errorf(ingest.KindHostKey, "the server presented no host key, nothing was pinned")
	default:
		return ingest.Errorf(ingest.KindHostKey,
			"the server presents %s, not %s: nothing was pinned; ask the partner which key is theirs", presented.Fingerprint, approve)
	}
}

// pin adds the presented key to the pinned keys and probes again, now with credentials.
func (s *Service) pin(ctx context.Context, result *TestResult, ask TestRequest) error {
	keys := addKey(result.Server.HostKeys, ask.line(result.Presented.KeyLine))
	details := map[string]any{"server_uuid": result.Server.UUID, "fingerprint": result.Presented.Fingerprint}
	if ask.Expires != "" {
		details["expires"] = ask.Expires
	}
	details["changes"] = map[string]any{"host_keys": map[string]any{"from": inLog(append([]string{}, result.Server.HostKeys...)), "to": inLog(keys)}}
	pin := func(string) error { return s.approvePins(ctx, &result.Server, keys) }
	if err := s.trail.Do(ctx, "server.approve_host_key", result.Server.Name, details, pin); err != nil {
		return err
	}
	result.Pinned = true
	presented, err := s.d.Prober.Probe(ctx, result.Server, ask.Sample)
	if presented.Fingerprint != "" {
		result.Presented = presented
	}
	return err
}

func pinned(keys []string, fingerprint string) bool {
	return slices.ContainsFunc(keys, func(line string) bool { return Fingerprint(line) == fingerprint })
}

// addKey returns the pinned keys and the new one. It keeps the earlier keys, because a host
// name may lead to several nodes with different keys; unused keys expire or are removed by
// an operator. A key that is already pinned is replaced by the new line.
func addKey(keys []string, line string) []string {
	fingerprint := Fingerprint(line)
	kept := slices.DeleteFunc(slices.Clone(keys), func(old string) bool { return fingerprint != "" && Fingerprint(old) == fingerprint })
	return append(kept, line)
}

// explainHostKey adds the command that pins the key to an error about a key that is not
// pinned.
func explainHostKey(result TestResult, err error) error {
	if ingest.KindOf(err) != ingest.KindHostKey || result.Presented.Fingerprint == "" {
		return err
	}
	problem := "its host key is not pinned yet"
	if len(result.Server.HostKeys) > 0 {
		problem = "it does NOT present a pinned key, which may be an attack"
	}
	return ingest.Errorf(ingest.KindHostKey,
		"server %s: %s, so no credentials were sent; compare the fingerprint with the partner, then run `stevedore server test %s --approve %s`",
		result.Server.Name, problem, result.Server.Name, result.Presented.Fingerprint)
}
