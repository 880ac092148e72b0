package operations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// NewServer is a server to be added, with its secrets in clear.
type NewServer struct {
	// Server holds the settings; UUID and encrypted fields are set by AddServer.
	Server ingest.Server
	// Credentials holds a password, a private key or both.
	Credentials ingest.Credentials
	// KeyExtras belong to the private key.
	KeyExtras
}

// AddServer implements Servers.
func (s *Service) AddServer(ctx context.Context, in NewServer) (ingest.Server, error) {
	server, creds, err := s.newServer(ctx, in)
	if err != nil {
		return ingest.Server{}, err
	}
	if err := s.checkOverlap(ctx, server); err != nil {
		return ingest.Server{}, err
	}
	if server, err = s.seal(ctx, server, creds); err != nil {
		return ingest.Server{}, err
	}
	details := map[string]any{"server_uuid": server.UUID, "changes": created(ingest.Server{Settle: -1}.WithDefaults(s.d.Defaults), server)}
	var added ingest.Server
	err = s.trail.Do(ctx, "server.create", server.Name, details, func(string) (err error) {
		added, err = s.d.Ledger.AddServer(ctx, server)
		return err
	})
	if err != nil {
		return ingest.Server{}, fmt.Errorf("add server %q: %w", server.Name, err)
	}
	return s.readAgain(ctx, added), nil
}

// readAgain returns a changed server with the fields that are only set for display. The change
// is committed, so it succeeds even if they cannot be read.
func (s *Service) readAgain(ctx context.Context, changed ingest.Server) ingest.Server {
	server, err := s.GetServer(ctx, changed.UUID)
	if err != nil {
		s.d.Log.WarnContext(ctx, "cannot read a changed server again", "server", changed.Name, "error", err)
		return changed
	}
	return server
}

// newServer completes and checks the settings and reads the credentials.
func (s *Service) newServer(ctx context.Context, in NewServer) (server ingest.Server, creds ingest.Credentials, err error) {
	server, creds = in.Server.WithDefaults(s.d.Defaults), in.Credentials
	server.UUID = s.d.NewUUID()
	server.Active = true
	key, wrongKey := storedKey(creds.PrivateKey, in.KeyExtras)
	creds.PrivateKey = key
	wrong := slices.Concat(checkSettings(server), wrongKey, s.checkJump(ctx, server))
	checkPassword(&wrong, creds.Password)
	if len(creds.Password)+len(creds.PrivateKey)+len(wrongKey) == 0 {
		wrong.Add("credentials", "credentials: enter a password, a private key or both")
	}
	return server, creds, wrong.Err("cannot add the server")
}

// checkPassword refuses a password with a NUL byte: SSH servers do not accept one, and a
// file in UTF-16 contains them.
func checkPassword(wrong *ingest.FieldErrors, password []byte) {
	if bytes.IndexByte(password, 0) >= 0 {
		wrong.Add("password", "password: it holds a NUL byte; is the file in UTF-16? Save it as UTF-8")
	}
}

func checkSettings(server ingest.Server) (wrong ingest.FieldErrors) {
	for _, err := range server.Validate() {
		var field ingest.FieldError
		_ = errors.As(err, &field)
		wrong.Add(field.Field, "%s", err)
	}
	checkGlobs(&wrong, "include", server.Include)
	checkGlobs(&wrong, "exclude", server.Exclude)
	checkGlobs(&wrong, "in_progress_names", server.InProgressNames)
	for _, line := range server.HostKeys {
		if _, err := parseHostKey(line); err != nil {
			wrong.Add("host_keys", "%s", err)
		}
	}
	return wrong
}

// ValidGlob reports whether the syntax of a glob is valid.
func ValidGlob(glob string) bool { return doublestar.ValidatePattern(glob) }

func checkGlobs(wrong *ingest.FieldErrors, field string, globs []string) {
	for _, glob := range globs {
		if glob == "" || !ValidGlob(glob) {
			wrong.Add(field, "%s %q: not a valid glob; example: '**/*.csv'", field, glob)
		} else if ingest.GlobChoices(glob) > ingest.MaxGlobChoices {
			wrong.Add(field, "%s %q: more than %d combinations of alternatives; use several globs", field, ingest.Summary(glob), ingest.MaxGlobChoices)
		}
	}
}

// parseHostKey reads one "type base64" line. A known_hosts line, which begins
// with a host name, is a frequent mistake.
func parseHostKey(line string) (ssh.PublicKey, error) {
	key, comment, options, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, fmt.Errorf("host key %q: use one line like 'ssh-ed25519 AAAA...', without a host name before it", ingest.Summary(line))
	}
	if _, err := ingest.HostKeyExpiry(comment); err != nil {
		return nil, fmt.Errorf("host key %q: %w", ingest.Summary(line), err)
	}
	return key, nil
}

// Fingerprint returns the fingerprint of a pinned key, "SHA256:..."; empty for an invalid
// line.
func Fingerprint(keyLine string) string {
	key, err := parseHostKey(keyLine)
	if err != nil {
		return ""
	}
	return ssh.FingerprintSHA256(key)
}

// pageSize is the page size for reading all rows.
const pageSize = 1000

// ListServers implements Servers.
func (s *Service) ListServers(ctx context.Context) ([]ingest.Server, error) {
	left, err := s.d.Ledger.RemainingByServer(ctx)
	if err != nil {
		return nil, err
	}
	var servers []ingest.Server
	for after := ""; ; {
		page, err := s.d.Ledger.Servers(ctx, after, pageSize)
		if err != nil {
			return nil, err
		}
		for _, server := range page {
			servers = append(servers, s.shown(server, left))
		}
		if len(page) < pageSize {
			return servers, nil
		}
		after = page[len(page)-1].Name
	}
}

// GetServer implements Servers.
func (s *Service) GetServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	server, err := s.d.Ledger.ServerByName(ctx, nameOrUUID)
	if ingest.IsMissingRow(err) {
		return ingest.Server{}, errNoServer(nameOrUUID)
	}
	if err != nil {
		return server, err
	}
	left, err := s.d.Ledger.RemainingByServer(ctx)
	return s.shown(server, left), err
}

func errNoServer(nameOrUUID string) error {
	return notFound("no server is called %q: `stevedore server list` shows all", ingest.Summary(nameOrUUID))
}

// shown returns the server with the fields that are only set for display.
func (s *Service) shown(server ingest.Server, left map[string]ingest.ServerLeft) ingest.Server {
	server.Left, server.Late = left[server.UUID], server.Overdue(server.ReadAt, s.d.Defaults.ScanInterval)
	return server
}

// serversOf returns the servers with the names or uuids, each once; all without names.
func (s *Service) serversOf(ctx context.Context, names []string) (servers []ingest.Server, err error) {
	if len(names) == 0 {
		return s.ListServers(ctx)
	}
	for _, name := range names {
		server, err := s.GetServer(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(uuidsOf(servers), server.UUID) {
			servers = append(servers, server)
		}
	}
	return servers, nil
}

func uuidsOf(servers []ingest.Server) (uuids []string) {
	for _, server := range servers {
		uuids = append(uuids, server.UUID)
	}
	return uuids
}

// PauseServer implements Servers.
func (s *Service) PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	return s.switchServer(ctx, nameOrUUID, "server.pause", s.d.Ledger.PauseServer)
}

// ResumeServer implements Servers.
func (s *Service) ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	return s.switchServer(ctx, nameOrUUID, "server.resume", s.d.Ledger.ResumeServer)
}

func (s *Service) switchServer(ctx context.Context, nameOrUUID, action string, change func(context.Context, string) error) (ingest.Server, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	if err != nil {
		return ingest.Server{}, err
	}
	details := map[string]any{"server_uuid": server.UUID}
	before, active := server.Active, action == "server.resume"
	if active != before {
		details["changes"] = map[string]any{"is_active": map[string]any{"from": before, "to": active}}
	}
	if err := s.trail.Do(ctx, action, server.Name, details, func(string) error { return change(ctx, server.UUID) }); err != nil {
		return ingest.Server{}, fmt.Errorf("switch server %q: %w", server.Name, err)
	}
	server.Active = active
	return s.readAgain(ctx, server), nil
}
