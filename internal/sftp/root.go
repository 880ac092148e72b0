package sftp

import (
	"context"
	"fmt"
	"path"
	"strings"

	"stevedore/internal/ingest"
)

// rootFolder is the folder that is listed. One that begins with "~" is below the
// user's home folder, which the server is asked for once for each connection. A
// server that does not say takes relative paths, which mean the same.
func (s *Session) rootFolder(ctx context.Context) (string, error) {
	return s.expandHome(ctx, s.server.RootPath)
}

// resolved replaces a leading "~" by the home folder.
func (s *Session) expandHome(ctx context.Context, at string) (string, error) {
	rest, home := strings.CutPrefix(at, ingest.HomeRoot)
	if !home || rest != "" && rest[0] != '/' {
		return at, nil
	}
	base, err := s.homeFolder(ctx)
	if err != nil {
		return "", s.explain(err, "name the home folder of", at)
	}
	return path.Join(base, rest), nil
}

func (s *Session) homeFolder(ctx context.Context) (string, error) {
	b := &s.conn.behavior
	b.mu.Lock()
	home := b.home
	b.mu.Unlock()
	if home != "" {
		return home, nil
	}
	home, err := s.realpath(ctx, ".")
	if err != nil && !isReplyError(err) {
		return "", err
	}
	if err != nil || !path.IsAbs(home) {
		home = "."
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.home = home
	return home, nil
}

// explainRoot says why the root folder cannot be listed, and what to do.
func (s *Session) explainRoot(ctx context.Context, err error, root string) error {
	explained := s.explain(err, "list its root folder", root)
	if !isReplyError(err) || isPermission(err) {
		return explained
	}
	failure := func(format string, args ...any) error {
		return ingest.Wrap(ingest.KindOf(explained), err, "server %s: %s %s", s.server.Name, ingest.DisplayPath(root), fmt.Sprintf(format, args...))
	}
	at, statErr := s.lstat(ctx, root)
	switch {
	case statErr == nil && at.kind == kindRegular:
		return failure("is a file: give its folder with --path, and its name with --include")
	case statErr == nil && at.kind == kindSymlink:
		if _, err := s.requestAttrs(ctx, packetStat, root); isNotExist(err) {
			return failure("is a link to nothing: check --path")
		}
		return failure("is a link to what is no folder: check --path")
	case isNotExist(statErr):
		home, _ := s.homeFolder(ctx)
		return failure("is not there: check --path; the home folder of user %s is %s", s.server.Username, ingest.DisplayPath(home))
	default:
		return explained
	}
}

// Real returns the path without links; as it is where the server does not say.
func (s *Session) Real(ctx context.Context, at string) (string, error) {
	at, err := s.expandHome(ctx, at)
	if err != nil {
		return "", err
	}
	real, err := s.realpath(ctx, at)
	switch {
	case err == nil && path.IsAbs(real):
		return path.Clean(real), nil
	case err == nil, isReplyError(err):
		return at, nil
	default:
		return "", s.explain(err, "ask for the folder of", at)
	}
}

// spelledBelow returns the folder as paths below the root spell it; as it is when
// it does not lie there, or the server does not say.
func (s *Session) underRoot(ctx context.Context, root, folder string) (string, error) {
	if folder == "" || isBelow(root, folder) {
		return folder, nil
	}
	realRoot, err := s.Real(ctx, root)
	if err != nil {
		return "", err
	}
	real, err := s.Real(ctx, folder)
	if err != nil || !isBelow(realRoot, real) {
		return folder, err
	}
	return path.Join(root, strings.TrimPrefix(real, realRoot)), nil
}

// realpath asks for the path without links, "." and "..".
func (s *Session) realpath(ctx context.Context, at string) (string, error) {
	if s.conn.behavior.lacks(packetRealpath) {
		return "", &statusError{code: statusUnsupported}
	}
	answer, err := s.request(ctx, packetRealpath, at)
	if isUnsupported(err) {
		s.conn.behavior.markMissing(packetRealpath)
	}
	if err != nil {
		return "", err
	}
	rest, count, ok := answer.body.uint32()
	if answer.kind != packetName || !ok || count != 1 {
		return "", errUnexpectedReply
	}
	_, name, ok := rest.bytes()
	if !ok || len(name) == 0 || len(name) > maxPathBytes {
		return "", errUnexpectedReply
	}
	return string(name), nil
}

// below reports whether the path is in the folder, at any depth.
func isBelow(folder, at string) bool {
	rest, ok := strings.CutPrefix(at, folder)
	return ok && rest != "" && (folder == "/" || rest[0] == '/')
}
