package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// DraftLogins bounds the logins of settings that are tested before they are saved. All drafts
// with the same host, port and user name share the bound: after MaxRefusedPasswords passwords, or
// as many keys, without success the next login waits 15 minutes.
type DraftLogins struct{ *Store }

const (
	// draftAttempts reads the current counts of refused attempts; after the pause they
	// start at zero.
	draftAttempts = `SELECT passwords, keys, last_at + interval '15 minutes' FROM draft_logins WHERE account_sha256 = $1 AND last_at > now() - interval '15 minutes'`
	// addDraftPassword counts a password before it is sent, so that those in flight and those of
	// killed processes count.
	addDraftPassword = `
INSERT INTO draft_logins AS d (account_sha256, passwords) VALUES ($1, 1)
ON CONFLICT (account_sha256) DO UPDATE SET last_at = now(),
	passwords = 1 + CASE WHEN d.last_at > now() - interval '15 minutes' THEN d.passwords ELSE 0 END,
	keys = CASE WHEN d.last_at > now() - interval '15 minutes' THEN d.keys ELSE 0 END
WHERE d.last_at <= now() - interval '15 minutes' OR greatest(d.passwords, d.keys) < $2`
	// addDraftKey counts a key that was refused or not answered.
	addDraftKey = `
INSERT INTO draft_logins AS d (account_sha256, keys) VALUES ($1, 1)
ON CONFLICT (account_sha256) DO UPDATE SET last_at = now(),
	passwords = CASE WHEN d.last_at > now() - interval '15 minutes' THEN d.passwords ELSE 0 END,
	keys = 1 + CASE WHEN d.last_at > now() - interval '15 minutes' THEN d.keys ELSE 0 END`
	dropDraftAttempts = `DELETE FROM draft_logins WHERE account_sha256 = $1`
	pruneDraftLogins  = `DELETE FROM draft_logins WHERE last_at < now() - interval '1 day'`
)

// account is the digest of the account that refused logins may lock. accountLogins compares
// accounts by the same rule.
func account(server ingest.Server) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", strings.ToLower(strings.TrimRight(server.Host, ".")), server.Port, server.Username))
	return sum[:]
}

// CheckPassword implements sftp.PasswordBudget.
func (d DraftLogins) CheckPassword(ctx context.Context, server ingest.Server) error {
	return d.check(ctx, server)
}

// CheckKey implements sftp.PasswordBudget.
func (d DraftLogins) CheckKey(ctx context.Context, server ingest.Server) error {
	return d.check(ctx, server)
}

// check returns the error of an exhausted bound, or nil.
func (d DraftLogins) check(ctx context.Context, server ingest.Server) error {
	var passwords, keys int
	var until time.Time
	err := d.retry(ctx, "read logins of drafts", func() error {
		return d.pool.QueryRow(ctx, draftAttempts, account(server)).Scan(&passwords, &keys, &until)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err == nil && max(passwords, keys) >= ingest.MaxRefusedPasswords:
		return draftExhausted(server, until.UTC().Format(time.RFC3339))
	}
	return err
}

func draftExhausted(server ingest.Server, until string) error {
	return ingest.Errorf(ingest.KindTransient,
		"%d logins of user %q at %s:%d did not succeed; the next login waits until %s, because servers lock accounts: check the credentials with the partner",
		ingest.MaxRefusedPasswords, server.Username, server.Host, server.Port, until)
}

// ReservePassword implements sftp.PasswordBudget.
func (d DraftLogins) ReservePassword(ctx context.Context, server ingest.Server) (id int64, err error) {
	return 0, d.inTx(ctx, "count a login of a draft", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, pruneDraftLogins); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, addDraftPassword, account(server), ingest.MaxRefusedPasswords)
		if err == nil && tag.RowsAffected() == 0 {
			return draftExhausted(server, "15 minutes after the last one")
		}
		return err
	})
}

// RecordPasswordResult implements sftp.PasswordBudget.
func (d DraftLogins) RecordPasswordResult(ctx context.Context, server ingest.Server, id int64, outcome ingest.LoginResult) error {
	if outcome != ingest.LoginAccepted { // counted by ReservePassword
		return nil
	}
	return d.exec(ctx, "clear logins of a draft", dropDraftAttempts, account(server))
}

// RecordKeyResult implements sftp.PasswordBudget.
func (d DraftLogins) RecordKeyResult(ctx context.Context, server ingest.Server, outcome ingest.LoginResult) error {
	if outcome == ingest.LoginAccepted {
		return d.exec(ctx, "clear logins of a draft", dropDraftAttempts, account(server))
	}
	return d.exec(ctx, "count a login of a draft", addDraftKey, account(server))
}

// EditLogins is DraftLogins for an edited server that keeps its stored password: the passwords
// count as those of the Saved server, which may have been refused before.
type EditLogins struct {
	DraftLogins
	Saved ingest.Server
}

// CheckPassword implements sftp.PasswordBudget.
func (e EditLogins) CheckPassword(ctx context.Context, _ ingest.Server) error {
	return e.Store.CheckPassword(ctx, e.Saved)
}

// ReservePassword implements sftp.PasswordBudget.
func (e EditLogins) ReservePassword(ctx context.Context, _ ingest.Server) (id int64, err error) {
	return e.Store.ReservePassword(ctx, e.Saved)
}

// RecordPasswordResult implements sftp.PasswordBudget.
func (e EditLogins) RecordPasswordResult(ctx context.Context, _ ingest.Server, id int64, outcome ingest.LoginResult) error {
	return e.Store.RecordPasswordResult(ctx, e.Saved, id, outcome)
}
