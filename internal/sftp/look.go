package sftp

import (
	"context"
	"errors"
	"path"

	"stevedore/internal/ingest"
)

// looked is what is at a path.
type looked struct {
	kind  kind
	attrs attrs
}

// look says what is at the path; a symbolic link is not followed. Servers that do
// not know LSTAT are asked by STAT, and those whose answer means nothing by their
// listing of the folder above. absent(err): nothing is there.
func (s *Session) look(ctx context.Context, path string) (looked, error) {
	at, err := s.lookAt(ctx, path)
	if err != nil || at.kind != kindUnsaid {
		return at, err
	}
	at.kind, err = s.tryAsFolder(ctx, path)
	return at, err
}

func (s *Session) lookAt(ctx context.Context, path string) (looked, error) {
	at, err := s.attributesBy(ctx, packetLstat, path)
	if err == nil || !refusal(err) || absent(err) {
		return at, err
	}
	at, statErr := s.statUnlinked(ctx, path)
	switch {
	case statErr == nil:
		s.conn.quirks.lack(packetLstat)
		return at, nil
	case !refusal(statErr):
		return looked{}, statErr
	}
	return s.lookAbove(ctx, path, err)
}

// attributesBy asks by LSTAT or STAT, unless the server is known to lack it.
func (s *Session) attributesBy(ctx context.Context, kind byte, path string) (looked, error) {
	if s.conn.quirks.lacking(kind) {
		return looked{}, &refused{code: statusUnsupported}
	}
	answer, err := s.ask(ctx, kind, path)
	if unsupported(err) {
		s.conn.quirks.lack(kind)
	}
	if err != nil {
		return looked{}, err
	}
	_, a, ok := answer.body.attributes()
	if answer.kind != packetAttrs || !ok {
		return looked{}, errBadAnswer
	}
	return looked{kind: a.kind(), attrs: a}, nil
}

// statUnlinked asks by STAT, which follows links, and then whether there is one.
func (s *Session) statUnlinked(ctx context.Context, path string) (looked, error) {
	at, err := s.attributesBy(ctx, packetStat, path)
	if err != nil || s.conn.quirks.lacking(packetReadlink) {
		return at, err
	}
	switch answer, err := s.ask(ctx, packetReadlink, path); {
	case unsupported(err):
		s.conn.quirks.lack(packetReadlink)
	case err != nil && !refusal(err):
		return looked{}, err
	case err == nil && answer.kind == packetName:
		at.kind = kindSymlink
	}
	return at, nil
}

// lookAbove looks for the path in the folder above it: some servers say "failure"
// or "permission denied" of what does not exist. err is what they said.
func (s *Session) lookAbove(ctx context.Context, full string, err error) (looked, error) {
	above, name := path.Split(full)
	if name == "" || above == "" {
		return looked{}, err
	}
	var at looked
	found := false
	listErr := s.readNames(ctx, path.Clean(above), s.folderLimits(), func(raw rawName) {
		if raw.name == name && !found {
			found, at = true, looked{kind: raw.kind, attrs: raw.attrs}
		}
	})
	var broken *brokenOff
	if errors.As(listErr, &broken) && s.conn.quirks.mayEnd(broken) {
		listErr = nil
	}
	switch {
	case found && (unsupported(err) || !isPermission(err)):
		return at, nil
	case found:
		return looked{}, err
	case listErr == nil, broken == nil && absent(listErr):
		return looked{}, &refused{code: statusNoSuchFile}
	case !refusal(listErr):
		return looked{}, listErr
	}
	// The folder above may be what does not exist.
	if _, aboveErr := s.lookAbove(ctx, path.Clean(above), err); absent(aboveErr) {
		return looked{}, aboveErr
	}
	return looked{}, err
}

func isPermission(err error) bool {
	code, ok := statusOf(err)
	return ok && code == statusPermission
}

// tryAsFolder tells a folder from a file by opening it as one, when the server does
// not say. One that may not be opened may be either.
func (s *Session) tryAsFolder(ctx context.Context, path string) (kind, error) {
	answer, err := s.ask(ctx, packetOpendir, path)
	switch {
	case err == nil && answer.kind == packetHandle:
		return kindFolder, s.closeHandle(ctx, answer.body)
	case err == nil:
		return kindUnsaid, nil
	case !refusal(err):
		return kindUnsaid, err
	case isPermission(err):
		return kindUnsaid, nil
	default:
		return kindRegular, nil
	}
}

// closeHandle closes what an answer has the handle of; what the server says to that
// does not matter.
func (s *Session) closeHandle(ctx context.Context, answer fields) error {
	_, handle, ok := answer.bytes()
	if !ok {
		return errBadAnswer
	}
	if _, err := s.ask(ctx, packetClose, string(handle)); err != nil && !refusal(err) {
		return err
	}
	return nil
}

// ask sends one request of our own; see wire.ask. The answer must come in time.
func (s *Session) ask(ctx context.Context, kind byte, parameters ...string) (answer reply, err error) {
	err = s.do(ctx, s.patience(), func() (err error) {
		answer, err = s.conn.wire.ask(kind, parameters...)
		return err
	})
	return answer, err
}

// followed is what is behind a symbolic link, if the server's settings allow to
// follow it and it stays below the root folder; otherwise why it is not followed.
func (s *Session) followed(ctx context.Context, link string) (at looked, refusedWhy string, err error) {
	if !s.server.FollowLinks {
		return looked{}, kindSymlink.reason(), nil
	}
	root, err := s.rootFolder(ctx)
	if err != nil {
		return looked{}, "", err
	}
	realRoot, err := s.realpath(ctx, root)
	if err != nil {
		return s.unfollowed(err)
	}
	target, err := s.realpath(ctx, link)
	switch {
	case err != nil:
		return s.unfollowed(err)
	case target == link:
		return looked{}, "is a symbolic link, and its server does not say where it leads", nil
	case target != realRoot && !below(realRoot, target):
		return looked{}, "is a symbolic link that leads out of the root folder", nil
	}
	at, err = s.attributesBy(ctx, packetStat, link)
	if err != nil {
		return s.unfollowed(err)
	}
	if at.kind == kindUnsaid {
		at.kind, err = s.tryAsFolder(ctx, link)
	}
	return at, "", err
}

func (s *Session) unfollowed(err error) (looked, string, error) {
	if !refusal(err) {
		return looked{}, "", err
	}
	return looked{}, "is a symbolic link that cannot be followed" + words(err), nil
}

// observation is the look at a path as the ledger knows it.
func (s *Session) observation(ctx context.Context, path string) (ingest.Observation, kind, error) {
	at, err := s.look(ctx, path)
	why := ""
	if err == nil && at.kind == kindSymlink && s.server.FollowLinks {
		at, why, err = s.followed(ctx, path)
	}
	if err != nil {
		return ingest.Observation{}, kindUnsaid, s.explain(err, "look at", path)
	}
	seen := observe(path, at.attrs)
	switch {
	case why != "":
		seen.Rejected = why
	case at.kind == kindFolder:
		seen.Rejected = "is a folder"
	default:
		seen.Rejected = reject(at.kind, at.attrs)
	}
	return seen, at.kind, nil
}
