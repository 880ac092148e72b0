package activities

import (
	"bytes"
	"context"
	"slices"

	"stevedore/internal/ingest"
)

// open logs in to a file's server, unless that is suspended: whoever waits for
// it must not make one more refused log-in each, because servers lock accounts
// by counting them. The server is as the step has just read it.
func (a *Activities) open(ctx context.Context, server ingest.Server) (Source, error) {
	if server.State == ingest.ServerSuspended {
		return nil, suspendedError(server)
	}
	return a.logIn(ctx, server)
}

func suspendedError(server ingest.Server) error {
	return ingest.Errorf(ingest.KindSuspended, "server %s is suspended and was not asked: %s", server.Name, server.LastError)
}

// logIn is open for those who may try a suspended server. A refusal suspends
// the server at once, so that of all that are tried at the same time few learn
// of it by themselves.
func (a *Activities) logIn(ctx context.Context, server ingest.Server) (Source, error) {
	source, err := a.Sources.Open(ctx, server)
	if err == nil || !ingest.KindOf(err).ServerLevel() {
		return source, err
	}
	if now, readErr := a.Ledger.Server(ctx, server.UUID); readErr == nil && !sameLogIn(server, now) {
		return nil, ingest.Wrap(ingest.KindTransient, err, "server %s was changed while it was logged in to: it is tried again as it is now", server.Name)
	}
	if suspendErr := a.Catalog.SuspendServer(ctx, server.UUID, message(err)); suspendErr != nil {
		// The caller's own way to say so is still to come.
		a.Log.WarnContext(ctx, "cannot suspend a server", "server", server.Name, "error", suspendErr)
	}
	return nil, err
}

// sameLogIn reports whether nothing that a log-in depends on was changed.
func sameLogIn(x, y ingest.Server) bool {
	return x.Host == y.Host && x.Port == y.Port && x.Username == y.Username && x.LegacyAlgorithms == y.LegacyAlgorithms &&
		x.Proxy == y.Proxy && x.Jump == y.Jump && x.ConnectTimeout == y.ConnectTimeout && x.LoginTimeout == y.LoginTimeout &&
		slices.Equal(x.HostKeys, y.HostKeys) &&
		bytes.Equal(x.PasswordEncrypted, y.PasswordEncrypted) && bytes.Equal(x.PrivateKeyEncrypted, y.PrivateKeyEncrypted)
}

// Halt says why nothing of a server is listed or started.
type Halt struct {
	// Paused: the server is switched off or removed.
	Paused bool `json:"paused,omitempty"`
	// Suspended: it is at fault and waits for a person.
	Suspended bool `json:"suspended,omitempty"`
}

// asked returns the server, and whether it is to be left alone.
func (a *Activities) serverAndHalt(ctx context.Context, serverUUID string) (ingest.Server, Halt, error) {
	server, err := a.Ledger.Server(ctx, serverUUID)
	if ingest.IsKind(err, ingest.KindMissing) {
		return server, Halt{Paused: true}, nil // removed
	}
	return server, Halt{Paused: err == nil && !server.Active, Suspended: server.State == ingest.ServerSuspended}, err
}
