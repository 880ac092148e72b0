package sftp

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"

	"stevedore/internal/ingest"
)

// rootFolder returns the folder to list. A leading "~" is the user's home folder, which
// is requested once per connection. If the server does not report it, the path is
// relative, which is equivalent.
func (s *Session) rootFolder(ctx context.Context) (string, error) {
	return s.expandHome(ctx, s.server.RootPath)
}

// expandHome replaces a leading "~" with the home folder.
func (s *Session) expandHome(ctx context.Context, at string) (string, error) {
	rest, home := strings.CutPrefix(at, ingest.HomeRoot)
	if !home || rest != "" && rest[0] != '/' {
		return at, nil
	}
	base, err := s.homeFolder(ctx)
	if err != nil {
		return "", s.explain(err, "resolve the home folder of", at)
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

// explainRoot returns the error of a root folder that cannot be listed, with advice.
func (s *Session) explainRoot(ctx context.Context, err error, root string) error {
	if errors.Is(err, errFolderTooLarge) {
		return ingest.Errorf(ingest.KindInvalid, "server %s: folder %s %s", s.server.Name, ingest.DisplayPath(root), s.tooLargeText())
	}
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
		return failure("is a file: set --path to its folder and --include to its name")
	case statErr == nil && at.kind == kindSymlink:
		if _, err := s.requestAttrs(ctx, packetStat, root); isNotExist(err) {
			return failure("is a dangling link: check --path")
		}
		return failure("is a link to something other than a folder: check --path")
	case isNotExist(statErr):
		home, _ := s.homeFolder(ctx)
		return failure("does not exist: check --path; the home folder of user %q is %s", s.server.Username, ingest.DisplayPath(home))
	default:
		return explained
	}
}

// Real returns the path with links resolved, or unchanged if the server cannot do so.
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
		return "", s.explain(err, "resolve the path", at)
	}
}

// IgnoresCase reports whether the server finds the path also with its letters in the
// other case.
func (s *Session) IgnoresCase(ctx context.Context, at string) (bool, error) {
	at, err := s.expandHome(ctx, at)
	if err != nil {
		return false, err
	}
	other := strings.Map(swapCase, at)
	if other == at {
		return false, nil
	}
	var kinds [2]kind
	for i, spelled := range []string{at, other} {
		found, err := s.requestAttrs(ctx, packetStat, spelled)
		if err != nil {
			return false, s.explain(ignoreReplyError(err), "stat", spelled)
		}
		kinds[i] = found.kind
	}
	return kinds[0] == kinds[1], nil
}

func swapCase(r rune) rune {
	if unicode.IsUpper(r) {
		return unicode.ToLower(r)
	}
	return unicode.ToUpper(r)
}

// underRoot returns the folder's path with root as its prefix, even if the settings name
// it by another link. It returns the folder unchanged if it is not below the root.
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

// realpath requests the path without links, "." and "..".
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

// isBelow reports whether the path is in the folder, at any depth.
func isBelow(folder, at string) bool {
	rest, ok := strings.CutPrefix(at, folder)
	return ok && rest != "" && (folder == "/" || rest[0] == '/')
}
