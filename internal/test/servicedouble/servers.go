package servicedouble

import (
	"context"
	"errors"

	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

// ListServers implements operations.Servers.
func (s *Service) ListServers(context.Context) ([]ingest.Server, error) { return s.Servers, s.ReadErr }

// GetServer implements operations.Servers.
func (s *Service) GetServer(_ context.Context, nameOrUUID string) (ingest.Server, error) {
	for _, server := range s.Servers {
		if server.Name == nameOrUUID || server.UUID == nameOrUUID {
			return server, nil
		}
	}
	return ingest.Server{}, missing("no server is called %q", nameOrUUID)
}

// AddServer implements operations.Servers.
func (s *Service) AddServer(_ context.Context, in operations.NewServer) (ingest.Server, error) {
	s.record("add %s", in.Server.Name)
	s.Added = in
	in.Server.UUID = UUID
	return in.Server, s.Err
}

// EditServer implements operations.Servers. It returns the edited server and keeps the old one.
func (s *Service) EditServer(ctx context.Context, nameOrUUID, version string, edit operations.ServerEdit) (ingest.Server, error) {
	s.record("edit %s", nameOrUUID)
	return s.edited(ctx, nameOrUUID, version, edit)
}

func (s *Service) edited(ctx context.Context, nameOrUUID, version string, edit operations.ServerEdit) (ingest.Server, error) {
	s.Edited = edit
	server, err := s.versionOf(ctx, nameOrUUID, version)
	if err == nil && edit.Settings != nil {
		edit.Settings(&server)
	}
	return server, errors.Join(err, s.Err)
}

// versionOf returns a server if it has the version.
func (s *Service) versionOf(ctx context.Context, nameOrUUID, version string) (ingest.Server, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	if err == nil && version != operations.AnyVersion && version != operations.ServerVersion(server) {
		err = ingest.ErrStale
	}
	return server, err
}

// RemoveServer implements operations.Servers.
func (s *Service) RemoveServer(ctx context.Context, nameOrUUID, version string) (ingest.Server, error) {
	s.record("remove %s", nameOrUUID)
	server, err := s.versionOf(ctx, nameOrUUID, version)
	return server, errors.Join(err, s.Err)
}

// PauseServer implements operations.Servers.
func (s *Service) PauseServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	server.Active = false
	return server, err
}

// ResumeServer implements operations.Servers.
func (s *Service) ResumeServer(ctx context.Context, nameOrUUID string) (ingest.Server, error) {
	server, err := s.GetServer(ctx, nameOrUUID)
	server.Active = true
	return server, err
}

// TestServer implements operations.Servers.
func (s *Service) TestServer(_ context.Context, nameOrUUID string, request operations.TestRequest) (operations.TestResult, error) {
	return s.test("test "+nameOrUUID, request)
}

// TestSettings implements operations.Servers.
func (s *Service) TestSettings(_ context.Context, in operations.NewServer, sample bool) (operations.TestResult, error) {
	s.Added = in
	return s.test("test settings", operations.TestRequest{Sample: sample})
}

// TestEdit implements operations.Servers.
func (s *Service) TestEdit(ctx context.Context, nameOrUUID, version string, edit operations.ServerEdit, sample bool) (operations.TestResult, error) {
	if _, err := s.edited(ctx, nameOrUUID, version, edit); err != nil {
		return operations.TestResult{}, err
	}
	return s.test("test edit of "+nameOrUUID, operations.TestRequest{Sample: sample})
}

// test records a line such as "test acme, approve SHA256:x, expires 2027-01-31, sample".
func (s *Service) test(line string, request operations.TestRequest) (operations.TestResult, error) {
	if request.Approve != "" {
		line += ", approve " + request.Approve
	}
	if request.Expires != "" {
		line += ", expires " + request.Expires
	}
	result := s.Tested
	if request.Sample {
		line += ", sample"
	} else {
		result.Presented.Sample = nil
	}
	s.record("%s", line)
	return result, s.Err
}

// ResolveChanges implements operations.Servers.
func (s *Service) ResolveChanges(ctx context.Context, nameOrUUID string, decision ingest.ChangesDecision, part, reason string) (int64, error) {
	s.record("resolve %s %s of %s: %s", part, decision, nameOrUUID, reason)
	server, err := s.GetServer(ctx, nameOrUUID)
	return server.Attention.Held.Files, errors.Join(err, s.Err)
}
