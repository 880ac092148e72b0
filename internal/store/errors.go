package store

import (
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"stevedore/internal/ingest"
)

// PostgreSQL's error codes that are told apart, and prefixes of whole classes.
const (
	codeSerialization   = "40001"
	codeDeadlock        = "40P01"
	codeAdminShutdown   = "57P01"
	codeCrashShutdown   = "57P02"
	codeCannotConnect   = "57P03"
	codeTooManyConns    = "53300"
	codeUnique          = "23505"
	codeForeignKey      = "23503"
	codeCheck           = "23514"
	codeNoTable         = "42P01"
	codeNoColumn        = "42703"
	codeNoDatabase      = "3D000"
	classConnection     = "08"
	classAuthorization  = "28"
	classData           = "22"
	tableServers        = "sftp_servers"
	adviceDatabaseURL   = "check STEVEDORE_DATABASE_URL"
	adviceMigrate       = "run `stevedore migrate`"
	adviceServerRunning = "check that it runs and that STEVEDORE_DATABASE_URL names it"
)

// explain turns what pgx returned into an error with a kind and one line for
// people. Trouble with the database itself is never of a permanent kind: it
// says nothing about the file or server that the caller works on.
func (s *Store) explain(op string, err error) error {
	var known *ingest.Error
	if errors.As(err, &known) {
		return err
	}
	var pg *pgconn.PgError
	isPg := errors.As(err, &pg)
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &connect):
		return s.explainConnect(connect, pg, err)
	case isPg:
		return s.explainAnswer(op, pg, err)
	case connectionLost(err):
		return ingest.Wrap(ingest.KindTransient, err, "%s: lost the connection to PostgreSQL at %s", op, s.address)
	default:
		return ingest.Wrap(ingest.KindTransient, err, "%s: the database call failed", op)
	}
}

// explainConnect: pg is nil when nobody answered at all.
func (s *Store) explainConnect(connect *pgconn.ConnectError, pg *pgconn.PgError, err error) error {
	switch {
	case pg == nil:
		return ingest.Wrap(ingest.KindTransient, err, "cannot reach PostgreSQL at %s: %s", s.address, adviceServerRunning)
	case strings.HasPrefix(pg.Code, classAuthorization):
		return ingest.Wrap(ingest.KindTransient, err, "PostgreSQL at %s refused user %q: %s", s.address, connect.Config.User, adviceDatabaseURL)
	case pg.Code == codeNoDatabase:
		return ingest.Wrap(ingest.KindTransient, err, "PostgreSQL at %s has no database %q: create it or %s",
			s.address, connect.Config.Database, adviceDatabaseURL)
	default:
		return ingest.Wrap(ingest.KindTransient, err, "PostgreSQL at %s takes no connection: %s", s.address, pg.Message)
	}
}

func (s *Store) explainAnswer(op string, pg *pgconn.PgError, err error) error {
	kind := ingest.KindTransient
	switch pg.Code {
	case codeNoTable, codeNoColumn:
		return errOldSchema(err)
	case codeUnique, codeForeignKey:
		kind = ingest.KindConflict
	case codeCheck:
		kind = ingest.KindConflict
		if pg.TableName == tableServers {
			kind = ingest.KindInvalid
		}
	default:
		if strings.HasPrefix(pg.Code, classData) {
			kind = ingest.KindInvalid
		}
	}
	return ingest.Wrap(kind, err, "%s: PostgreSQL says: %s", op, pg.Message)
}

func errOldSchema(cause error) error {
	return &ingest.Error{
		Kind: ingest.KindMissing, Err: cause,
		Message: "the database has not the tables this version needs: " + adviceMigrate,
	}
}

// violates reports whether err is the violation of the unique constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeUnique && pg.ConstraintName == constraint
}

// validUUID returns text in the usual form of a uuid. What is not one names
// nothing we have: what says which kind of thing was looked for.
func validUUID(what, text string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil {
		return "", errNo(what, text)
	}
	return id.String(), nil
}

func errNo(what, name string) error {
	return ingest.Errorf(ingest.KindMissing, "no %s %q", what, name)
}
