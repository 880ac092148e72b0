package operations

import (
	"context"
	"fmt"
	"slices"
	"time"

	"stevedore/internal/ingest"
)

// TestResult is what a server test found out.
type TestResult struct {
	Server ingest.Server
	// Presented is the server's host key and more, as far as the test got.
	Presented ProbeResult
	// Pinned says that the key was pinned by this test.
	Pinned bool
	// Resumed says that the server was suspended and no longer is.
	Resumed bool
}

// MaxTest bounds a server test that is waited for by HTTP. Within it the server's own
// time-outs count.
const MaxTest = 5 * time.Minute

// ErrMaxTest is the cause of the end of a server test after MaxTest.
var ErrMaxTest = fmt.Errorf("a server test by the API ends after %s", MaxTest)

// TestRequest says what a server test does beside connecting and logging in.
type TestRequest struct {
	// Approve is the fingerprint, "SHA256:...", of the host key to pin; empty for none.
	Approve string
	// Expires is the last day, "2027-01-31", on which the pinned key counts; empty for
	// ever.
	Expires string
	// Sample also lists what the patterns take, for at most 15 seconds.
	Sample bool
}

func (r TestRequest) check() error {
	_, err := ingest.HostKeyExpiry("expires=" + r.Expires)
	if r.Expires != "" && (err != nil || r.Approve == "") {
		return ingest.Errorf(ingest.KindInvalid, "expires %q: use a day like 2027-01-31, together with the fingerprint of a key to approve", ingest.Summary(r.Expires))
	}
	return nil
}

// line is the key's line as it is pinned.
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
	prober, err := s.d.Prober(ctx)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{Server: server}
	result.Presented, err = prober.Probe(ctx, server, ask.Sample)
	if ask.Approve != "" {
		if mismatch := approved(result.Presented, ask.Approve, err); mismatch != nil {
			return result, mismatch
		}
		if ask.Expires != "" || !pinned(server.HostKeys, ask.Approve) || ingest.IsKind(err, ingest.KindHostKey) {
			err = s.pin(ctx, prober, &result, ask)
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
	if err := s.seal(ctx, &server, creds); err != nil {
		return TestResult{}, err
	}
	prober, err := s.d.Prober(ctx)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{Server: server}
	result.Presented, err = prober.ProbeDraft(ctx, server, sample)
	if ingest.IsKind(err, ingest.KindHostKey) && result.Presented.Fingerprint != "" && len(server.HostKeys) == 0 {
		err = ingest.Errorf(ingest.KindHostKey, "the server presents %s: its host key is not pinned yet, so no credentials were sent; "+
			"check it with the partner, then pin it", result.Presented.Fingerprint)
	} else if err != nil {
		err = explainHostKey(result, err)
	}
	return result, err
}

func (s *Service) endSuspension(ctx context.Context, result *TestResult) error {
	// Resuming also switches a server on, which is not a test's business.
	if result.Server.State != ingest.ServerSuspended || !result.Server.Active {
		return nil
	}
	if _, err := s.record(ctx, "server.test_resumes", result.Server.Name, map[string]any{"server_uuid": result.Server.UUID}); err != nil {
		return err
	}
	if err := s.d.Ledger.ResumeServer(ctx, result.Server.UUID); err != nil {
		return err
	}
	result.Server.State, result.Server.LastError, result.Resumed = ingest.ServerOK, "", true
	return nil
}

// approved says why the presented key is not the approved one, if so.
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

// pin trusts the presented key beside those that are pinned, and probes again,
// now with credentials.
func (s *Service) pin(ctx context.Context, prober Prober, result *TestResult, ask TestRequest) error {
	keys := addKey(result.Server.HostKeys, ask.line(result.Presented.KeyLine))
	details := map[string]any{"server_uuid": result.Server.UUID, "fingerprint": result.Presented.Fingerprint, "expires": ask.Expires}
	if _, err := s.record(ctx, "server.approve_host_key", result.Server.Name, details); err != nil {
		return err
	}
	if err := s.approvePins(ctx, &result.Server, keys); err != nil {
		return err
	}
	result.Pinned = true
	presented, err := prober.Probe(ctx, result.Server, ask.Sample)
	if presented.Fingerprint != "" {
		result.Presented = presented
	}
	return err
}

func pinned(keys []string, fingerprint string) bool {
	return slices.ContainsFunc(keys, func(line string) bool { return Fingerprint(line) == fingerprint })
}

// addKey returns the pinned keys with one more. Earlier ones stay: a name may lead
// to several nodes with keys of their own, and a key that is no longer used is
// for its owner to remove, or has an expiry. The same key is pinned once, as
// given now.
func addKey(keys []string, line string) []string {
	fingerprint := Fingerprint(line)
	kept := slices.DeleteFunc(slices.Clone(keys), func(old string) bool { return fingerprint != "" && Fingerprint(old) == fingerprint })
	return append(kept, line)
}

// explainHostKey says how to approve a key that is not pinned.
func explainHostKey(result TestResult, err error) error {
	if ingest.KindOf(err) != ingest.KindHostKey || result.Presented.Fingerprint == "" {
		return err
	}
	problem := "its host key is not pinned yet"
	if len(result.Server.HostKeys) > 0 {
		problem = "this is NOT a pinned key, it may be an attack"
	}
	return ingest.Errorf(ingest.KindHostKey,
		"server %s presents %s: %s, so no credentials were sent; check it with the partner, then run `stevedore server test %s --approve %s`",
		result.Server.Name, result.Presented.Fingerprint, problem, result.Server.Name, result.Presented.Fingerprint)
}
