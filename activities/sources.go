package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// open logs in with the settings that the step has read, unless the server is suspended:
// more refused logins may lock the account.
func (a *Activities) open(ctx context.Context, server ingest.Server) (Source, error) {
	if server.State == ingest.ServerSuspended {
		return nil, suspendedError(server)
	}
	return a.logIn(ctx, server)
}

func suspendedError(server ingest.Server) error {
	return ingest.Errorf(ingest.KindSuspended, "server %s is suspended and was not contacted: %s", server.Name, server.LastError)
}

// logIn is open for callers that may try a suspended server. A refusal suspends the
// server immediately, so that few of the concurrent steps get one.
func (a *Activities) logIn(ctx context.Context, server ingest.Server) (Source, error) {
	source, err := a.Sources.Open(ctx, server)
	if !ingest.KindOf(err).Suspends() {
		return source, err
	}
	if now, readErr := a.Ledger.Server(ctx, server.UUID); readErr == nil && !ingest.SameReach(server, now) {
		return nil, ingest.Wrap(ingest.KindTransient, err, "server %s was changed during the login: retried with its new settings", server.Name)
	}
	if suspendErr := a.Catalog.SuspendServer(ctx, server.UUID, ingest.Message(err)); suspendErr != nil {
		// The caller records the suspension as well.
		a.Log.WarnContext(ctx, "cannot suspend a server", "server", server.Name, "error", suspendErr)
	}
	return nil, err
}

// Halt is the reason not to list or start files of a server; the zero value means none.
type Halt struct {
	// Paused: the server is paused or removed.
	Paused bool `json:"paused,omitempty"`
	// Suspended: the server was excluded after a server-level error.
	Suspended bool `json:"suspended,omitempty"`
}

// serverAndHalt returns the server and whether it may be contacted.
func (a *Activities) serverAndHalt(ctx context.Context, serverUUID string) (ingest.Server, Halt, error) {
	server, err := a.Ledger.Server(ctx, serverUUID)
	if ingest.IsKind(err, ingest.KindMissing) {
		return server, Halt{Paused: true}, nil // removed
	}
	return server, Halt{Paused: err == nil && !server.Active, Suspended: server.State == ingest.ServerSuspended}, err
}
