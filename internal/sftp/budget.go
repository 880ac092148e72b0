package sftp

import (
	"context"

	"stevedore/internal/ingest"
)

// PasswordBudget bounds how often a server is sent a password or offered a key that
// it refuses, whoever logs in: servers lock accounts by counting refusals. The ledger keeps
// it, so that it holds for all processes.
type PasswordBudget interface {
	// CheckPassword returns an error when ReservePassword would refuse now.
	CheckPassword(ctx context.Context, server ingest.Server) error
	// ReservePassword must succeed before a password is sent. The error is of
	// KindAuth when no more may be sent until the credentials are changed, and of
	// KindTransient when one may be sent later.
	ReservePassword(ctx context.Context, server ingest.Server) (id int64, err error)
	// SettlePassword records what became of the reserved password.
	SettlePassword(ctx context.Context, server ingest.Server, id int64, fate ingest.PasswordFate) error
	// CheckKey returns an error of KindTransient while no key may be offered: servers
	// block addresses by counting refusals.
	CheckKey(ctx context.Context, server ingest.Server) error
	// SettleKey records what became of a key that was offered, when no password was
	// sent after it.
	SettleKey(ctx context.Context, server ingest.Server, fate ingest.PasswordFate) error
}

// Directory finds other servers, for jump hosts.
type Directory interface {
	// ServerByName returns the server with the name, or an error of KindMissing.
	ServerByName(ctx context.Context, name string) (ingest.Server, error)
}
