package operations

import (
	"context"

	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// ResolveChanges implements Servers.
func (s *Service) ResolveChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	if err != nil {
		return 0, err
	}
	if decision != ingest.ChangesTake && decision != ingest.ChangesSame {
		return 0, ingest.Errorf(ingest.KindInvalid, "decision %q: use %s or %s", decision, ingest.ChangesTake, ingest.ChangesSame)
	}
	if _, err := ingest.ParsePart(part); err != nil {
		return 0, err
	}
	if server.Attention.Held.Files == 0 {
		return 0, nil
	}
	reason = ingest.DisplayPath(reason) // shown in many places, as one printable line
	details := map[string]any{
		"server_uuid": server.UUID, "decision": decision, "part": part, "reason": reason, "files": server.Attention.Held.Files, "held": server.Attention.HeldReason,
	}
	var n int64
	err = s.trail.Do(ctx, "server.changes", server.Name, details, func(string) error {
		n, err = s.d.Ledger.DecideChanges(ctx, server.UUID, decision, part, access.From(ctx).Name, reason, s.d.NewUUID())
		return err
	})
	if err == nil && decision == ingest.ChangesTake && server.Active && server.State == ingest.ServerOK {
		// Without the scan, the next scheduled one ingests them.
		_, _ = s.StartScan(ctx, []string{server.UUID})
	}
	return n, err
}
