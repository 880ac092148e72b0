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
type limits struct {
	entries int
	bytes   int64
}

func (s *Session) folderLimits() limits {
	return limits{entries: s.cfg.MaxEntriesPerFolder, bytes: s.cfg.MaxBytesPerFolder}
}

// errFolderFull is a folder beyond its limits.
var errFolderFull = errors.New("folder is too large")

// After how many answers in a row without a new name a folder counts as ended: some
// servers never say so, and send nothing or the same again. Others say so and send
// empty answers in between, where all names of a page are hidden: a server that has ended
// a folder as it should, or of which nothing is known yet, is asked for longer.
const (
	idleAnswers    = 3
	idleOfUnknown  = 100
	idleOfSpeaking = 1000
)

// contents is what one folder has.
type contents struct {
	names []rawName
	// why has reasons not to take entries, by their place.
	why map[int]string
	// doubt is the failure with which the listing ended, if that may be the server's
	// way to say that there is no more.
	doubt error
	// bytes is what the server sent.
	bytes int64
}

// entry is one entry of a folder, as it is considered.
type entry struct {
	rawName
	path string
	// longPath is how long the path was when it is shortened here; otherwise 0.
	longPath int
	// why says that it is not taken; empty if it may be.
	why string
}

// in returns the entries with their paths, which only one at a time has: a folder
// may have a million entries and a long path.
func (c *contents) in(folder string) iter.Seq2[int, entry] {
	if folder == "/" {
		folder = ""
	}
	return func(yield func(int, entry) bool) {
		for i, raw := range c.names {
			e := entry{rawName: raw, path: folder + "/" + raw.name, why: c.why[i]}
			if len(e.path) > maxPathBytes {
				e.path, e.longPath = shortened([]byte(e.path)), len(e.path)
			}
			if !yield(i, e) {
				return
			}
		}
	}
}

// readFolder returns the entries of one folder without doubles.
func (s *Session) readFolder(ctx context.Context, path string, most limits) (*contents, error) {
	c := &contents{}
	var broken *brokenOff
	err := s.readCounted(ctx, path, most, &c.bytes, func(raw rawName) { c.names = append(c.names, raw) })
	if errors.As(err, &broken) && s.conn.quirks.mayEnd(broken) {
		c.doubt, err = broken, nil
	}
	return c, err
}

// brokenOff is a failure in the midst of a folder.
type brokenOff struct {
	err  error
	seen int
}

func (b *brokenOff) Error() string {
	return fmt.Sprintf("its listing broke off after %d entries: %v", b.seen, b.err)
}
func (b *brokenOff) Unwrap() error { return b.err }

// readNames calls fn for each name in a folder but "." and "..", each once. It is
// brokenOff when the server fails after it has opened the folder.
func (s *Session) readNames(ctx context.Context, path string, most limits, fn func(rawName)) error {
	var bytes int64
	return s.readCounted(ctx, path, most, &bytes, fn)
}

func (s *Session) readCounted(ctx context.Context, path string, most limits, bytes *int64, fn func(rawName)) error {
	answer, err := s.ask(ctx, packetOpendir, path)
	if err != nil {
		return err
	}
	_, handle, ok := answer.body.bytes()
	if answer.kind != packetHandle || !ok {
		return errBadAnswer
	}
	r := folderReader{session: s, path: path, handle: string(handle), most: most, bytes: bytes, fn: fn, known: make(map[string]struct{})}
	err = r.run(ctx)
	if err == nil || refusal(err) {
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
	most    limits
	bytes   *int64
	fn      func(rawName)
	known   map[string]struct{}
	answers int
}

func (r *folderReader) run(ctx context.Context) error {
	for idle := 0; idle < r.session.conn.quirks.idleAnswers(); r.answers++ {
		answer, err := r.session.ask(ctx, packetReaddir, r.handle)
		code, refused := statusOf(err)
		switch {
		case refused && code == statusEOF:
			r.session.conn.quirks.sawEOF()
			return nil
		case refused:
			return &brokenOff{err: err, seen: len(r.known)}
		case err != nil:
			return err
		case answer.kind == packetStatus: // "OK": no more
			return nil
		case answer.kind != packetName:
			return errBadAnswer
		}
		news, err := r.take(answer.body)
		if err != nil {
			return err
		}
		if idle++; news {
			idle = 0
		}
	}
	r.session.conn.quirks.endedIdly()
	return nil
}

// take passes on the new names of an answer, and reports whether there were any.
func (r *folderReader) take(body fields) (news bool, err error) {
	if *r.bytes += int64(len(body)); *r.bytes > r.most.bytes {
		return false, errFolderFull
	}
	full := false
	_, err = body.names(func(raw rawName) {
		raw.name = elementOf(r.path, raw)
		if _, double := r.known[raw.name]; double || full {
			return
		}
		if len(r.known) >= r.most.entries+2 {
			full = true
			return
		}
		r.known[raw.name] = struct{}{}
		news = true
		if raw.name != "." && raw.name != ".." {
			r.fn(raw)
		}
	})
	if full {
		err = errFolderFull
	}
	return news, err
}

// elementOf is the name of an entry without what some servers put around it: the path of
// the folder, "./", or a '/' behind the name of a folder.
func elementOf(folder string, raw rawName) string {
	if raw.long > 0 || !strings.Contains(raw.name, "/") {
		return raw.name
	}
	name, inside := strings.CutPrefix(raw.name, strings.TrimSuffix(folder, "/")+"/")
	if !inside {
		name = strings.TrimPrefix(name, "./")
	}
	if raw.kind == kindFolder || raw.kind == kindUnsaid {
		name = strings.TrimSuffix(name, "/")
	}
	if unsafeName(name) != "" && name != "." && name != ".." {
		return raw.name // shown as it was sent
	}
	return name
}

// tooLarge says what is wrong with a folder beyond its limits.
func (s *Session) tooLarge() string {
	return fmt.Sprintf("has more than %d entries or %d MiB of names: ask the partner to split it or exclude it",
		s.cfg.MaxEntriesPerFolder, s.cfg.MaxBytesPerFolder>>20)
}

// whyUnread says for people why a folder was not read.
func (s *Session) whyUnread(err error) string {
	var known *ingest.Error
	var broken *brokenOff
	switch {
	case errors.As(err, &known):
		return known.Message
	case errors.Is(err, errFolderFull):
		return s.tooLarge()
	case isPermission(err):
		return "may not be read by user " + s.server.Username + words(err)
	case errors.As(err, &broken) && broken.seen > 0:
		return fmt.Sprintf("its listing broke off after %d entries%s", broken.seen, words(err))
	case !errors.As(err, &broken) && absent(err):
		return "was listed, but its server says that it does not exist"
	case errors.Is(err, errBadNames), errors.Is(err, errBadAnswer), errors.Is(err, errPacketTooLarge):
		return err.Error()
	default:
		return "cannot be read, its server fails" + words(err)
	}
}
