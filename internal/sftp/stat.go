package sftp

import (
	"context"
	"errors"
	"path"

	"stevedore/internal/ingest"
)

// looked is what is at a path.
type pathInfo struct {
	kind  kind
	attrs attrs
}

// look says what is at the path; a symbolic link is not followed. Servers that do
// not know LSTAT are asked by STAT, and those whose answer means nothing by their
// listing of the folder above. absent(err): nothing is there.
func (s *Session) lstat(ctx context.Context, path string) (pathInfo, error) {
	at, err := s.lstatAttrs(ctx, path)
	if err != nil || at.kind != kindUnreported {
		return at, err
	}
	at.kind, err = s.kindByOpening(ctx, path)
	return at, err
}

func (s *Session) lstatAttrs(ctx context.Context, path string) (pathInfo, error) {
	at, err := s.requestAttrs(ctx, packetLstat, path)
	if err == nil || !isReplyError(err) || isNotExist(err) {
		return at, err
	}
	at, statErr := s.statNoFollow(ctx, path)
	switch {
	case statErr == nil:
		s.conn.behavior.markMissing(packetLstat)
		return at, nil
	case !isReplyError(statErr):
		return pathInfo{}, statErr
	}
	return s.findInParent(ctx, path, err)
}

// attributesBy asks by LSTAT or STAT, unless the server is known to lack it.
func (s *Session) requestAttrs(ctx context.Context, kind byte, path string) (pathInfo, error) {
	if s.conn.behavior.lacks(kind) {
		return pathInfo{}, &statusError{code: statusUnsupported}
	}
	answer, err := s.request(ctx, kind, path)
	if isUnsupported(err) {
		s.conn.behavior.markMissing(kind)
	}
	if err != nil {
		return pathInfo{}, err
	}
	_, a, ok := answer.body.attributes()
	if answer.kind != packetAttrs || !ok {
		return pathInfo{}, errUnexpectedReply
	}
	return pathInfo{kind: a.kind(), attrs: a}, nil
}

// statUnlinked asks by STAT, which follows links, and then whether there is one.
func (s *Session) statNoFollow(ctx context.Context, path string) (pathInfo, error) {
	at, err := s.requestAttrs(ctx, packetStat, path)
	if err != nil || s.conn.behavior.lacks(packetReadlink) {
		return at, err
	}
	switch answer, err := s.request(ctx, packetReadlink, path); {
	case isUnsupported(err):
		s.conn.behavior.markMissing(packetReadlink)
	case err != nil && !isReplyError(err):
		return pathInfo{}, err
	case err == nil && answer.kind == packetName:
		at.kind = kindSymlink
	}
	return at, nil
}

// lookAbove looks for the path in the folder above it: some servers say "failure"
// or "permission denied" of what does not exist. err is what they said.
func (s *Session) findInParent(ctx context.Context, full string, err error) (pathInfo, error) {
	parent, name := path.Split(full)
	if name == "" || parent == "" {
		return pathInfo{}, err
	}
	var at pathInfo
	found := false
	listErr := s.readNames(ctx, path.Clean(parent), s.folderLimits(), func(raw rawName) {
		if raw.name == name && !found {
			found, at = true, pathInfo{kind: raw.kind, attrs: raw.attrs}
		}
	})
	var interrupted *interruptedError
	if errors.As(listErr, &interrupted) && s.conn.behavior.failureMayBeEOF(interrupted) {
		listErr = nil
	}
	switch {
	case found && (isUnsupported(err) || !isPermission(err)):
		return at, nil
	case found:
		return pathInfo{}, err
	case listErr == nil, interrupted == nil && isNotExist(listErr):
		return pathInfo{}, &statusError{code: statusNoSuchFile}
	case !isReplyError(listErr):
		return pathInfo{}, listErr
	}
	// The folder above may be what does not exist.
	if _, parentErr := s.findInParent(ctx, path.Clean(parent), err); isNotExist(parentErr) {
		return pathInfo{}, parentErr
	}
	return pathInfo{}, err
}

func isPermission(err error) bool {
	code, ok := statusOf(err)
	return ok && code == statusPermission
}

// tryAsFolder tells a folder from a file by opening it as one, when the server does
// not say. One that may not be opened may be either.
func (s *Session) kindByOpening(ctx context.Context, path string) (kind, error) {
	answer, err := s.request(ctx, packetOpendir, path)
	switch {
	case err == nil && answer.kind == packetHandle:
		return kindFolder, s.closeHandle(ctx, answer.body)
	case err == nil:
		return kindUnreported, nil
	case !isReplyError(err):
		return kindUnreported, err
	case isPermission(err):
		return kindUnreported, nil
	default:
		return kindRegular, nil
	}
}

// closeHandle closes what an answer has the handle of; what the server says to that
// does not matter.
func (s *Session) closeHandle(ctx context.Context, answer fields) error {
	_, handle, ok := answer.bytes()
	if !ok {
		return errUnexpectedReply
	}
	if _, err := s.request(ctx, packetClose, string(handle)); err != nil && !isReplyError(err) {
		return err
	}
	return nil
}

// ask sends one request of our own; see wire.ask. The answer must come in time.
func (s *Session) request(ctx context.Context, kind byte, parameters ...string) (answer reply, err error) {
	err = s.do(ctx, s.replyTimeout(), func() (err error) {
		answer, err = s.conn.wire.request(kind, parameters...)
		return err
	})
	return answer, err
}

// followed is what is behind a symbolic link, if the server's settings allow to
// follow it and it stays below the root folder; otherwise why it is not followed.
func (s *Session) followLink(ctx context.Context, link string) (at pathInfo, rejection string, err error) {
	if !s.server.FollowLinks {
		return pathInfo{}, kindSymlink.reason(), nil
	}
	root, err := s.rootFolder(ctx)
	if err != nil {
		return pathInfo{}, "", err
	}
	realRoot, err := s.realpath(ctx, root)
	if err != nil {
		return s.linkError(err)
	}
	target, err := s.realpath(ctx, link)
	switch {
	case err != nil:
		return s.linkError(err)
	case target == link:
		return pathInfo{}, "is a symbolic link, and its server does not say where it leads", nil
	case target != realRoot && !isBelow(realRoot, target):
		return pathInfo{}, "is a symbolic link that leads out of the root folder", nil
	}
	at, err = s.requestAttrs(ctx, packetStat, link)
	if err != nil {
		return s.linkError(err)
	}
	if at.kind == kindUnreported {
		at.kind, err = s.kindByOpening(ctx, link)
	}
	return at, "", err
}

func (s *Session) linkError(err error) (pathInfo, string, error) {
	if !isReplyError(err) {
		return pathInfo{}, "", err
	}
	return pathInfo{}, "is a symbolic link that cannot be followed" + serverMessage(err), nil
}

// observation is the look at a path as the ledger knows it.
func (s *Session) observePath(ctx context.Context, path string) (ingest.Observation, kind, error) {
	at, err := s.lstat(ctx, path)
	rejection := ""
	if err == nil && at.kind == kindSymlink && s.server.FollowLinks {
		at, rejection, err = s.followLink(ctx, path)
	}
	if err != nil {
		return ingest.Observation{}, kindUnreported, s.explain(err, "look at", path)
	}
	seen := observe(path, at.attrs)
	switch {
	case rejection != "":
		seen.Rejected = rejection
	case at.kind == kindFolder:
		seen.Rejected = "is a folder"
	default:
		seen.Rejected = rejectReason(at.kind, at.attrs)
	}
	return seen, at.kind, nil
}
