package sftp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"stevedore/internal/ingest"
)

// folderLimits bound the listing of one folder.
type folderLimits struct {
	entries int
	bytes   int64
}

func (s *Session) folderLimits() folderLimits {
	return folderLimits{entries: s.cfg.MaxEntriesPerFolder, bytes: s.cfg.MaxBytesPerFolder}
}

// errFolderTooLarge is the error for a folder over its limits.
var errFolderTooLarge = errors.New("folder is too large")

// The number of consecutive replies without a new name that end a listing. Some servers
// never send EOF, but repeat empty replies or the same names. Others send EOF, and empty
// replies before it if all names of a page are hidden. So the bound is high for servers
// that are known to send EOF, and low for those known not to.
const (
	emptyRepliesNoEOF   = 3
	emptyRepliesUnknown = 100
	emptyRepliesWithEOF = 1000
)

// folderContents are the entries of one folder.
type folderContents struct {
	names []rawName
	// rejections are the reasons to reject entries, by index in names.
	rejections map[int]string
	// endError is the failure that ended the listing, if it may be the server's
	// substitute for EOF.
	endError error
	// bytes is the size of the server's replies.
	bytes int64
}

// entry is one entry of a folder with its path.
type entry struct {
	rawName
	path string
	// fullPathLen is the length of the original path if path is shortened, otherwise 0.
	fullPathLen int
	// rejection is the reason to reject the entry, if any.
	rejection string
}

// entries iterates over the entries with their paths. Paths are built one at a time,
// because a folder may have a million entries and a long path.
func (c *folderContents) entries(folder string) iter.Seq2[int, entry] {
	if folder == "/" {
		folder = ""
	}
	return func(yield func(int, entry) bool) {
		for i, raw := range c.names {
			e := entry{rawName: raw, path: folder + "/" + raw.name, rejection: c.rejections[i]}
			if len(e.path) > maxPathBytes {
				e.path, e.fullPathLen = shorten([]byte(e.path)), len(e.path)
			}
			if !yield(i, e) {
				return
			}
		}
	}
}

// readFolder returns the entries of one folder without duplicates.
func (s *Session) readFolder(ctx context.Context, path string, limits folderLimits) (*folderContents, error) {
	c := &folderContents{}
	var err error
	c.bytes, err = s.readNames(ctx, path, limits, func(raw rawName) { c.names = append(c.names, raw) })
	var interrupted *interruptedError
	if errors.As(err, &interrupted) && s.conn.behavior.failureMayBeEOF(interrupted) {
		c.endError, err = interrupted, nil
	}
	return c, err
}

// interruptedError is a failure of READDIR.
type interruptedError struct {
	err  error
	seen int
}

func (e *interruptedError) Error() string {
	return fmt.Sprintf("its listing failed after %d entries: %v", e.seen, e.err)
}
func (e *interruptedError) Unwrap() error { return e.err }

// readNames calls fn once for each name in a folder except "." and "..", and returns the
// size of the replies. The error is an interruptedError if the server fails after OPENDIR.
func (s *Session) readNames(ctx context.Context, path string, limits folderLimits, fn func(rawName)) (bytes int64, err error) {
	answer, err := s.request(ctx, packetOpendir, path)
	if err != nil {
		return 0, err
	}
	_, handle, ok := answer.body.bytes()
	if answer.kind != packetHandle || !ok {
		return 0, errUnexpectedReply
	}
	r := folderReader{session: s, path: path, handle: string(handle), limits: limits, fn: fn, seen: make(map[string]struct{})}
	err = r.run(ctx)
	if err == nil || isReplyError(err) {
		if closeErr := s.closeHandle(ctx, answer.body); closeErr != nil {
			return r.bytes, closeErr
		}
	}
	return r.bytes, err
}

// folderReader reads an open folder.
type folderReader struct {
	session *Session
	path    string
	handle  string
	limits  folderLimits
	bytes   int64
	fn      func(rawName)
	seen    map[string]struct{}
}

func (r *folderReader) run(ctx context.Context) error {
	for empty := 0; empty < r.session.conn.behavior.maxEmptyReplies(); {
		reply, err := r.session.request(ctx, packetReaddir, r.handle)
		code, refused := statusOf(err)
		switch {
		case refused && code == statusEOF:
			r.session.conn.behavior.recordEOF()
			return nil
		case refused:
			return &interruptedError{err: err, seen: len(r.seen)}
		case err != nil:
			return err
		case reply.kind == packetStatus: // OK instead of EOF
			return nil
		case reply.kind != packetName:
			return errUnexpectedReply
		}
		added, err := r.addNames(reply.body)
		if err != nil {
			return err
		}
		if empty++; added {
			empty = 0
		}
	}
	r.session.conn.behavior.recordEmptyEnd()
	return nil
}

// addNames passes the new names of a reply to fn and reports whether there were any.
func (r *folderReader) addNames(body fields) (added bool, err error) {
	if r.bytes += int64(len(body)); r.bytes > r.limits.bytes {
		return false, errFolderTooLarge
	}
	full := false
	_, err = body.names(func(raw rawName) {
		raw.name = cleanName(r.path, raw)
		if _, double := r.seen[raw.name]; double || full {
			return
		}
		if len(r.seen) >= r.limits.entries+2 {
			full = true
			return
		}
		r.seen[raw.name] = struct{}{}
		added = true
		if raw.name != "." && raw.name != ".." {
			r.fn(raw)
		}
	})
	if full {
		err = errFolderTooLarge
	}
	return added, err
}

// cleanName removes the additions of some servers from a name: the folder's path, "./",
// and the trailing '/' of a folder.
func cleanName(folder string, raw rawName) string {
	if raw.fullLen > 0 || !strings.Contains(raw.name, "/") {
		return raw.name
	}
	name, inside := strings.CutPrefix(raw.name, strings.TrimSuffix(folder, "/")+"/")
	if !inside {
		name = strings.TrimPrefix(name, "./")
	}
	if raw.kind == kindFolder || raw.kind == kindUnreported {
		name = strings.TrimSuffix(name, "/")
	}
	if unsafeName(name) != "" && name != "." && name != ".." {
		return raw.name // rejected under the original name
	}
	return name
}

// tooLargeText describes a folder over its limits.
func (s *Session) tooLargeText() string {
	return fmt.Sprintf("has more than %d entries or %d MiB of names: ask the partner to split it or exclude it",
		s.cfg.MaxEntriesPerFolder, s.cfg.MaxBytesPerFolder>>20)
}

// unreadReason returns why a folder was not read, for the user.
func (s *Session) unreadReason(err error) string {
	var known *ingest.Error
	var interrupted *interruptedError
	switch {
	case errors.As(err, &known):
		return known.Message
	case errors.Is(err, errFolderTooLarge):
		return s.tooLargeText()
	case isPermission(err):
		return "may not be read by user " + s.server.Username + serverMessage(err)
	case errors.As(err, &interrupted) && interrupted.seen > 0:
		return fmt.Sprintf("is incomplete: its listing failed after %d entries%s", interrupted.seen, serverMessage(err))
	case !errors.As(err, &interrupted) && isNotExist(err):
		return "was listed, but the server reports that it does not exist"
	case isUnreadable(err):
		return err.Error()
	default:
		return "cannot be read: the server failed" + serverMessage(err)
	}
}
