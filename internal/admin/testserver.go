package admin

import (
	"context"
	"slices"

	"stevedore/internal/ingest"
)

// TestResult is what a server test found out.
type TestResult struct {
	Server ingest.Server
	// Presented is the server's host key and more, as far as the test got.
	Presented Probed
	// Pinned says that the key was pinned by this test.
	Pinned bool
	// Resumed says that the server was suspended and no longer is.
	Resumed bool
}

// TestServer connects, compares the host key, logs in and looks at the root
// folder. With approve ("SHA256:...") the presented key is pinned first, but
// only if it has that fingerprint: what an operator has checked with the
// partner is what gets trusted. Success ends a suspension. The result is valid
// beside an error, too.
func (a *Admin) TestServer(ctx context.Context, nameOrUUID, approve string) (TestResult, error) {
	server, err := a.ShowServer(ctx, nameOrUUID)
	if err != nil {
		return TestResult{}, err
	}
	prober, err := a.d.Prober(ctx)
	if err != nil {
		return TestResult{}, err
	}
	result := TestResult{Server: server}
	result.Presented, err = prober.Probe(ctx, server)
	if approve != "" {
		if mismatch := approved(result.Presented, approve, err); mismatch != nil {
			return result, mismatch
		}
		if !pinned(server.HostKeys, approve) {
			err = a.pin(ctx, prober, &result)
		}
	}
	if err != nil {
		return result, explainHostKey(result, err)
	}
	err = a.endSuspension(ctx, &result)
	return result, err
}

func (a *Admin) endSuspension(ctx context.Context, result *TestResult) error {
	// Resuming also switches a server on, which is not a test's business.
	if result.Server.State != ingest.ServerSuspended || !result.Server.Active {
		return nil
	}
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return err
	}
	if err := a.record(ctx, "server.test_resumes", result.Server.Name, map[string]any{"server_uuid": result.Server.UUID}); err != nil {
		return err
	}
	if err := ledger.ResumeServer(ctx, result.Server.UUID); err != nil {
		return err
	}
	result.Server.State, result.Server.LastError, result.Resumed = ingest.ServerOK, "", true
	return nil
}

// approved says why the presented key is not the approved one, if so.
func approved(presented Probed, approve string, probe error) error {
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

// pin trusts the presented key in place of earlier ones of its type, and
// probes again, now with credentials.
func (a *Admin) pin(ctx context.Context, prober Prober, result *TestResult) error {
	keys := replaceKey(result.Server.HostKeys, result.Presented.KeyLine)
	ledger, err := a.d.Ledger(ctx)
	if err != nil {
		return err
	}
	details := map[string]any{"server_uuid": result.Server.UUID, "fingerprint": result.Presented.Fingerprint}
	if err := a.record(ctx, "server.approve_host_key", result.Server.Name, details); err != nil {
		return err
	}
	if err := a.approvePins(ctx, ledger, &result.Server, keys); err != nil {
		return err
	}
	result.Pinned = true
	presented, err := prober.Probe(ctx, result.Server)
	if presented.Fingerprint != "" {
		result.Presented = presented
	}
	return err
}

func pinned(keys []string, fingerprint string) bool {
	return slices.ContainsFunc(keys, func(line string) bool { return Fingerprint(line) == fingerprint })
}

// replaceKey drops keys of the new one's type: a key that the partner has
// replaced must not be trusted any longer.
func replaceKey(keys []string, line string) []string {
	added, err := parseHostKey(line)
	if err != nil {
		return append(slices.Clone(keys), line)
	}
	kept := slices.DeleteFunc(slices.Clone(keys), func(old string) bool {
		key, err := parseHostKey(old)
		return err == nil && key.Type() == added.Type()
	})
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
