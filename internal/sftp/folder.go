package sftp

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"stevedore/internal/ingest"
)

// limits bound one folder.
type folderLimits struct {
	entries int
	bytes   int64
}

func (s *Session) folderLimits() folderLimits {
	return folderLimits{entries: s.cfg.MaxEntriesPerFolder, bytes: s.cfg.MaxBytesPerFolder}
}

// errFolderFull is a folder beyond its limits.
var errFolderTooLarge = errors.New("folder is too large")

// After how many answers in a row without a new name a folder counts as ended: some
// servers never say so, and send nothing or the same again. Others say so and send
// empty answers in between, where all names of a page are hidden: a server that has ended
// a folder as it should, or of which nothing is known yet, is asked for longer.
const (
	emptyRepliesNoEOF   = 3
	emptyRepliesUnknown = 100
	emptyRepliesWithEOF = 1000
)

// contents is what one folder has.
type folderContents struct {
	names []rawName
	// why has reasons not to take entries, by their place.
	rejections map[int]string
	// doubt is the failure with which the listing ended, if that may be the server's
	// way to say that there is no more.
	endError error
	// bytes is what the server sent.
	bytes int64
}

// entry is one entry of a folder, as it is considered.
type entry struct {
	rawName
	path string
	// longPath is how long the path was when it is shortened here; otherwise 0.
	fullPathLen int
	// why says that it is not taken; empty if it may be.
	rejection string
}

// in returns the entries with their paths, which only one at a time has: a folder
// may have a million entries and a long path.
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

// readFolder returns the entries of one folder without doubles.
func (s *Session) readFolder(ctx context.Context, path string, limits folderLimits) (*folderContents, error) {
	c := &folderContents{}
	var interrupted *interruptedError
	err := s.readNamesCounting(ctx, path, limits, &c.bytes, func(raw rawName) { c.names = append(c.names, raw) })
	if errors.As(err, &interrupted) && s.conn.behavior.failureMayBeEOF(interrupted) {
		c.endError, err = interrupted, nil
	}
	return c, err
}

// brokenOff is a failure in the midst of a folder.
type interruptedError struct {
	err  error
	seen int
}

func (b *interruptedError) Error() string {
	return fmt.Sprintf("its listing broke off after %d entries: %v", b.seen, b.err)
}
func (b *interruptedError) Unwrap() error { return b.err }

// readNames calls fn for each name in a folder but "." and "..", each once. It is
// brokenOff when the server fails after it has opened the folder.
func (s *Session) readNames(ctx context.Context, path string, limits folderLimits, fn func(rawName)) error {
	var bytes int64
	return s.readNamesCounting(ctx, path, limits, &bytes, fn)
}

func (s *Session) readNamesCounting(ctx context.Context, path string, limits folderLimits, bytes *int64, fn func(rawName)) error {
	answer, err := s.request(ctx, packetOpendir, path)
	if err != nil {
		return err
	}
	_, handle, ok := answer.body.bytes()
	if answer.kind != packetHandle || !ok {
		return errUnexpectedReply
	}
	r := folderReader{session: s, path: path, handle: string(handle), limits: limits, bytes: bytes, fn: fn, seen: make(map[string]struct{})}
	err = r.run(ctx)
	if err == nil || isReplyError(err) {
		if closeErr := s.closeHandle(ctx, answer.body); closeErr != nil {
			return closeErr
		}
	}
	return err
}

// folderReader is the reading of an open folder.
type folderReader struct {
	session *Session
	path    string
	handle  string
	limits  folderLimits
	bytes   *int64
	fn      func(rawName)
	seen    map[string]struct{}
	answers int
}

func (r *folderReader) run(ctx context.Context) error {
	for empty := 0; empty < r.session.conn.behavior.maxEmptyReplies(); r.answers++ {
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
		case reply.kind == packetStatus: // "OK": no more
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

// take passes on the new names of an answer, and reports whether there were any.
func (r *folderReader) addNames(body fields) (added bool, err error) {
	if *r.bytes += int64(len(body)); *r.bytes > r.limits.bytes {
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

// elementOf is the name of an entry without what some servers put around it: the path of
// the folder, "./", or a '/' behind the name of a folder.
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
		return raw.name // shown as it was sent
	}
	return name
}

// tooLarge says what is wrong with a folder beyond its limits.
func (s *Session) tooLargeText() string {
	return fmt.Sprintf("has more than %d entries or %d MiB of names: ask the partner to split it or exclude it",
		s.cfg.MaxEntriesPerFolder, s.cfg.MaxBytesPerFolder>>20)
}

// whyUnread says for people why a folder was not read.
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
		return fmt.Sprintf("its listing broke off after %d entries%s", interrupted.seen, serverMessage(err))
	case !errors.As(err, &interrupted) && isNotExist(err):
		return "was listed, but its server says that it does not exist"
	case errors.Is(err, errMalformedReply), errors.Is(err, errUnexpectedReply), errors.Is(err, errPacketTooLarge):
		return err.Error()
	default:
		return "cannot be read, its server fails" + serverMessage(err)
	}
}
