package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// fallbackScanInterval is the default when neither the operator nor the configuration sets one.
const fallbackScanInterval = time.Minute

const serverColumns = `s.id, s.server_uuid, s.name, s.host, s.port, s.username, s.password_encrypted, s.private_key_encrypted,
	s.host_keys, s.root_path, s.include_globs, s.exclude_globs, s.max_parallel, s.settle, s.scan_interval, s.after_ingest,
	s.on_collision, s.min_age, s.done_marker, s.sidecar_wait, s.max_depth, s.read_once, s.legacy_algorithms, s.transfer, s.options,
	s.is_active, s.state, coalesce(s.last_error, ''), s.unread, s.last_scan_at, s.created_at, s.updated_at,
	CASE WHEN s.read_window_at > now() - interval '7 days' THEN s.read_window ELSE 0 END,
	CASE WHEN s.connection_limit_until > now() THEN s.connection_limit ELSE 0 END, now()`

// serverRow holds the scanned columns of serverColumns.
type serverRow struct {
	server   ingest.Server
	options  []byte
	lastScan *time.Time
}

// targets returns the scan targets in column order.
func (r *serverRow) targets() []any {
	v := &r.server
	return []any{
		&v.ID, &v.UUID, &v.Name, &v.Host, &v.Port, &v.Username, &v.PasswordEncrypted, &v.PrivateKeyEncrypted,
		&v.HostKeys, &v.RootPath, &v.Include, &v.Exclude, &v.MaxParallel, &v.Settle, &v.ScanInterval, &v.AfterIngest,
		&v.OnCollision, &v.MinAge, &v.DoneMarker, &v.SidecarWait, &v.MaxDepth, &v.ReadOnce, &v.LegacyAlgorithms, &v.Transfer, &r.options,
		&v.Active, &v.State, &v.LastError, &v.Unread, &r.lastScan, &v.CreatedAt, &v.UpdatedAt, &v.ReadWindow, &v.ConnectionLimit, &v.ReadAt,
	}
}

// read converts the row to a server. Options that were changed to other types by SQL are
// KindServer, because a server must not be used with default options instead.
func (r *serverRow) read() (ingest.Server, error) {
	v := r.server
	v.LastScanAt, v.CreatedAt, v.UpdatedAt, v.ReadAt = utc(r.lastScan), v.CreatedAt.UTC(), v.UpdatedAt.UTC(), v.ReadAt.UTC()
	if err := json.Unmarshal(r.options, &v.Options); err != nil {
		v.Options = ingest.Options{}
		return v, ingest.Wrap(ingest.KindServer, err, "server %s: its options in the table sftp_servers cannot be read; restore them, e.g. from the audit log", v.Name)
	}
	return v, nil
}

func scanServer(row pgx.CollectableRow) (ingest.Server, error) {
	var r serverRow
	if err := row.Scan(r.targets()...); err != nil {
		return r.server, err
	}
	return r.read()
}

// scanListed is scanServer for lists: a server with unreadable options is suspended, so
// that the others stay usable.
func scanListed(row pgx.CollectableRow) (ingest.Server, error) {
	var r serverRow
	if err := row.Scan(r.targets()...); err != nil {
		return r.server, err
	}
	server, err := r.read()
	if err != nil {
		server.State, server.LastError = ingest.ServerSuspended, err.Error()
	}
	return server, nil
}

// utc returns the time in UTC; NULL is the zero time.
func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// serverSettings are the columns that AddServer and EditServer write, see serverArgs.
var serverSettings = []string{
	"name", "host", "port", "username", "password_encrypted", "private_key_encrypted", "host_keys", "root_path", "include_globs",
	"exclude_globs", "max_parallel", "settle", "scan_interval", "after_ingest", "is_active", "state", "on_collision", "min_age",
	"done_marker", "sidecar_wait", "max_depth", "read_once", "legacy_algorithms", "transfer", "options",
}

// A row with the same uuid was inserted by an earlier attempt whose response was lost.
var insertServer = fmt.Sprintf(`
INSERT INTO sftp_servers (server_uuid, %s) VALUES (@server_uuid, @%s) ON CONFLICT (server_uuid) DO NOTHING`,
	strings.Join(serverSettings, ", "), strings.Join(serverSettings, ", @"))

// AddServer records a server and returns the stored row. The caller may set the UUID, because
// credentials are sealed with it; an empty one is generated. Empty settings get their defaults.
// A taken name is KindConflict, invalid settings are KindInvalid. Adding the same UUID and name
// again returns the existing row.
func (s *Store) AddServer(ctx context.Context, server ingest.Server) (ingest.Server, error) {
	server = server.WithDefaults(ingest.ServerDefaults{ScanInterval: fallbackScanInterval})
	if err := errors.Join(server.Validate()...); err != nil {
		return ingest.Server{}, ingest.Wrap(ingest.KindInvalid, err, "server %q cannot be added", server.Name)
	}
	if server.UUID == "" {
		server.UUID = uuid.NewString()
	}
	id, err := uuid.Parse(server.UUID)
	if err != nil {
		return ingest.Server{}, ingest.Errorf(ingest.KindInvalid, "server uuid %q is not a uuid", server.UUID)
	}
	var added ingest.Server
	err = s.inTx(ctx, "add server "+server.Name, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, insertServer, serverArgs(id.String(), server)); err != nil {
			return explainTakenName(err, server.Name)
		}
		added, err = queryOne(ctx, tx, pgx.ErrNoRows, scanServer, serverByUUID, id.String())
		if err == nil && added.Name != server.Name {
			return ingest.Errorf(ingest.KindConflict, "server uuid %s already belongs to server %q", added.UUID, added.Name)
		}
		return err
	})
	return added, err
}

func serverArgs(id string, v ingest.Server) pgx.NamedArgs {
	return pgx.NamedArgs{
		"server_uuid": id, "name": v.Name, "host": v.Host, "port": v.Port, "username": v.Username,
		"password_encrypted": nullIfEmpty(v.PasswordEncrypted), "private_key_encrypted": nullIfEmpty(v.PrivateKeyEncrypted),
		"host_keys": nonNil(v.HostKeys), "root_path": v.RootPath, "include_globs": nonNil(v.Include), "exclude_globs": nonNil(v.Exclude),
		"max_parallel": v.MaxParallel, "settle": v.Settle, "scan_interval": v.ScanInterval, "after_ingest": string(v.AfterIngest),
		"is_active": v.Active, "state": string(v.State), "on_collision": string(v.OnCollision), "min_age": v.MinAge,
		"done_marker": v.DoneMarker, "sidecar_wait": v.SidecarWait, "max_depth": v.MaxDepth, "read_once": v.ReadOnce,
		"legacy_algorithms": v.LegacyAlgorithms, "transfer": string(v.Transfer), "options": v.Options, "last_error": cleanText(v.LastError),
	}
}

func explainTakenName(err error, name string) error {
	if violates(err, "sftp_servers_name_key") {
		return ingest.Wrap(ingest.KindConflict, err, "a server named %q already exists: choose another name, or remove that server first", name)
	}
	return err
}

const serverByUUID = `SELECT ` + serverColumns + ` FROM sftp_servers s WHERE s.server_uuid = $1`

// Server returns the server with the uuid, or KindMissing.
func (s *Store) Server(ctx context.Context, serverUUID string) (ingest.Server, error) {
	id, err := validUUID("server with uuid", serverUUID)
	if err != nil {
		return ingest.Server{}, err
	}
	return selectOne(ctx, s, "read server", errNo("server with uuid", id), scanServer, serverByUUID, id)
}

// The name takes precedence over an equal uuid.
const serverByName = `
SELECT ` + serverColumns + ` FROM sftp_servers s
WHERE (s.name = $1 OR s.server_uuid::text = lower($1)) AND s.removed_at IS NULL
ORDER BY s.name = $1 DESC LIMIT 1`

// ServerByName returns the server with the name or uuid, or KindMissing.
func (s *Store) ServerByName(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	name := cleanText(nameOrUUID)
	server, err := selectOne(ctx, s, "read server", errNo("server named", name), scanServer, serverByName, name)
	if err != nil {
		return server, err
	}
	attention, err := s.Attention(ctx, server.UUID)
	server.Attention = attention[server.UUID]
	return server, err
}

// An existing server takes precedence over removed ones, of which the latest, and the name over
// an equal uuid.
const serverUUIDOf = `
SELECT s.server_uuid::text FROM sftp_servers s WHERE s.name = $1 OR s.server_uuid::text = lower($1)
ORDER BY s.removed_at IS NULL DESC, s.name = $1 DESC, s.removed_at DESC LIMIT 1`

// ServerUUID returns the uuid of the server with the name or uuid, or KindMissing. A removed
// server is found if no other has its name.
func (s *Store) ServerUUID(ctx context.Context, nameOrUUID string) (string, error) {
	name := cleanText(nameOrUUID)
	return selectOne(ctx, s, "look up server", errNo("server named", name), pgx.RowTo[string], serverUUIDOf, name)
}

const serversPage = `SELECT ` + serverColumns + ` FROM sftp_servers s WHERE s.name > $1 AND s.removed_at IS NULL ORDER BY s.name LIMIT $2`

// Servers returns servers with names after afterName, in byte order. limit is the page size:
// default 100, at most 1000.
func (s *Store) Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error) {
	servers, err := selectAll(ctx, s, "list servers", scanListed, serversPage, cleanText(afterName), pageSize(limit))
	if err != nil {
		return nil, err
	}
	attention, err := s.Attention(ctx)
	for i := range servers {
		servers[i].Attention = attention[servers[i].UUID]
	}
	return servers, err
}

// A server is due somewhat before its interval ends ($5, see ingest.ScanTolerance): its last
// scan began some time after the schedule's tick, so a schedule with the same interval would
// skip every other tick. If the tick is unknown, the tolerance is a tenth of the interval. A
// failed scan is repeated after at most five minutes, so that a short outage does not delay a
// daily scan by a day. A scan that began in the future ran before the clock was set back.
const dueServers = `
SELECT ` + serverColumns + ` FROM sftp_servers s
WHERE s.is_active
	AND ($1 OR (s.state = 'ok' AND (s.last_scan_at IS NULL OR s.last_scan_at > now() + interval '1 minute' OR s.last_scan_at <= now() + $5::interval -
		(CASE WHEN $5::interval > interval '0' THEN 1 ELSE 0.9 END) *
		CASE WHEN s.last_error IS NULL THEN s.scan_interval ELSE least(s.scan_interval, interval '5 minutes') END)))
	AND (cardinality($2::text[]) = 0 OR s.name = ANY ($2) OR s.server_uuid::text = ANY ($2))
	AND s.server_uuid > $3
ORDER BY s.server_uuid LIMIT $4`

// DueServers returns active servers to be scanned, ordered by uuid. With Force it includes
// suspended servers and those not yet due, but never inactive ones.
func (s *Store) DueServers(ctx context.Context, q ingest.DueQuery) ([]ingest.Server, error) {
	after := uuid.Nil.String()
	if q.AfterUUID != "" {
		id, err := uuid.Parse(q.AfterUUID)
		if err != nil {
			return nil, ingest.Errorf(ingest.KindInvalid, "cursor %q is invalid: use the cursor of the previous page", q.AfterUUID)
		}
		after = id.String()
	}
	return selectAll(ctx, s, "list servers", scanListed, dueServers, q.Force, nonNil(q.Servers), after, pageSize(q.Limit), ingest.ScanTolerance(q.Tick))
}
