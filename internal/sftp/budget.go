package sftp

import (
	"context"

	"stevedore/internal/ingest"
)

// PasswordBudget bounds the refused passwords and keys of a server over all processes,
// because servers lock accounts by counting refusals. The ledger implements it.
type PasswordBudget interface {
	// CheckPassword returns the error that ReservePassword would return now.
	CheckPassword(ctx context.Context, server ingest.Server) error
	// ReservePassword must succeed before a password is sent. The error is of KindAuth
	// if the budget is exhausted until the credentials change, and of KindTransient if
	// a password may be sent later.
	ReservePassword(ctx context.Context, server ingest.Server) (id int64, err error)
	// RecordPasswordResult records the result of the reserved password.
	RecordPasswordResult(ctx context.Context, server ingest.Server, id int64, result ingest.LoginResult) error
	// CheckKey returns an error of KindTransient while no key may be offered, because
	// servers block addresses by counting refusals.
	CheckKey(ctx context.Context, server ingest.Server) error
	// RecordKeyResult records the result of an offered key if no password was sent after it.
	RecordKeyResult(ctx context.Context, server ingest.Server, result ingest.LoginResult) error
}

// Directory looks up jump hosts.
type Directory interface {
	// ServerByName returns the server with the name, or an error of KindMissing.
	ServerByName(ctx context.Context, name string) (ingest.Server, error)
}
