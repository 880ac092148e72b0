package store

import (
	"errors"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"

	"stevedore/internal/ingest"
)

// PostgreSQL error codes and class prefixes that are handled, and advice for error messages.
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

// explain converts a pgx error into an ingest.Error with a kind and a one-line message.
// Problems of the database itself are never of a permanent kind, because they are independent
// of the file or server.
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
		return s.explainResponse(op, pg, err)
	case connectionLost(err):
		return ingest.Wrap(ingest.KindTransient, err, "%s: lost the connection to PostgreSQL at %s", op, s.address)
	default:
		return ingest.Wrap(ingest.KindTransient, err, "%s: the database call failed", op)
	}
}

// explainConnect converts an error of connecting; pg is nil when there was no response.
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
		return ingest.Wrap(ingest.KindTransient, err, "PostgreSQL at %s refuses connections: %s", s.address, pg.Message)
	}
}

func (s *Store) explainResponse(op string, pg *pgconn.PgError, err error) error {
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
	return ingest.Wrap(kind, err, "%s: PostgreSQL: %s", op, pg.Message)
}

func errOldSchema(cause error) error {
	return &ingest.Error{
		Kind: ingest.KindMissing, Err: cause,
		Message: "the database lacks tables that this version needs: " + adviceMigrate,
	}
}

// violates reports whether err is the violation of the unique constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == codeUnique && pg.ConstraintName == constraint
}

// validUUID returns text as a canonical uuid. Text that is not a uuid is KindMissing; what
// names the kind of object in the message.
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
