package sftp

import (
	"context"
	"errors"
	"path"

	"stevedore/internal/ingest"
)

// pathInfo is the type and attributes of a path.
type pathInfo struct {
	kind  kind
	attrs attrs
}

// lstat returns the type and attributes of a path without following a symbolic link. It
// falls back to STAT for servers without LSTAT, and to a listing of the parent folder if
// the reply is ambiguous or has no size. isNotExist(err) means that the path does not exist.
func (s *Session) lstat(ctx context.Context, path string) (pathInfo, error) {
	at, err := s.lstatAttrs(ctx, path)
	if err == nil && at.kind == kindUnreported {
		at.kind, err = s.kindByOpening(ctx, path)
	}
	if err == nil {
		at.attrs, err = s.completeAttrs(ctx, path, at)
	}
	if err != nil || at.kind != kindRegular || at.attrs.hasSize() {
		return at, err
	}
	listed, err := s.findInParent(ctx, path, errUnexpectedReply)
	if listed.kind == kindRegular {
		at.attrs = at.attrs.filled(listed.attrs)
	}
	return at, ignoreReplyError(err)
}

// completeAttrs returns the attributes of a regular file with the size or time that LSTAT
// omitted from STAT. It does not request a time again that STAT omits, too.
func (s *Session) completeAttrs(ctx context.Context, path string, at pathInfo) (attrs, error) {
	b := &s.conn.behavior
	if at.kind != kindRegular || at.attrs.hasSize() && (at.attrs.hasTime() || b.lacksTimes()) {
		return at.attrs, nil
	}
	full, err := s.requestAttrs(ctx, packetStat, path)
	if err == nil && !full.attrs.hasTime() {
		b.markTimesMissing()
	}
	return at.attrs.filled(full.attrs), ignoreReplyError(err)
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

// requestAttrs sends LSTAT or STAT, unless the server is known not to support it.
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

// statNoFollow sends STAT, which follows links, and then READLINK to detect a link.
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

// findInParent looks up the path in its parent folder, because some servers reply
// "failure" or "permission denied" for a path that does not exist. err is that reply.
func (s *Session) findInParent(ctx context.Context, full string, err error) (pathInfo, error) {
	parent, name := path.Split(full)
	if name == "" || parent == "" {
		return pathInfo{}, err
	}
	var at pathInfo
	found := false
	_, listErr := s.readNames(ctx, path.Clean(parent), s.folderLimits(), func(raw rawName) {
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
	// The parent folder may not exist.
	if _, parentErr := s.findInParent(ctx, path.Clean(parent), err); isNotExist(parentErr) {
		return pathInfo{}, parentErr
	}
	return pathInfo{}, err
}

func isPermission(err error) bool {
	code, ok := statusOf(err)
	return ok && code == statusPermission
}

// kindByOpening distinguishes a folder from a file by OPENDIR, for servers that do not
// report the type. If permission is denied the type stays unknown.
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

// closeHandle closes the handle in a reply. A failure status is ignored.
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

// request sends one request within the reply timeout; see wire.request.
func (s *Session) request(ctx context.Context, kind byte, parameters ...string) (answer reply, err error) {
	err = s.do(ctx, s.replyTimeout(), func() (err error) {
		answer, err = s.conn.wire.request(kind, parameters...)
		return err
	})
	return answer, err
}

// followLink returns the target's type and attributes if the server's settings allow
// links and the target is below the root folder, otherwise the reason to reject it.
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
		return pathInfo{}, "is a symbolic link, and the server does not report its target", nil
	case target != realRoot && !isBelow(realRoot, target):
		return pathInfo{}, "is a symbolic link to a target outside the root folder", nil
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
	return pathInfo{}, "is a symbolic link that cannot be followed" + replyCause(err), nil
}

// observePath returns the observation of a path, following links if allowed.
func (s *Session) observePath(ctx context.Context, path string) (ingest.Observation, kind, error) {
	at, err := s.lstat(ctx, path)
	rejection := ""
	if err == nil && at.kind == kindSymlink && s.server.FollowLinks {
		at, rejection, err = s.followLink(ctx, path)
	}
	if err != nil {
		return ingest.Observation{}, kindUnreported, s.explain(err, "stat", path)
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
