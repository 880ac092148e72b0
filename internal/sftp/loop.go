package sftp

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"stevedore/internal/ingest"
)

// prints are what a folder is known again by, in whatever order its entries come:
// names and kinds, and all of it with sizes and times.
type fingerprint struct {
	names, all uint64
	hasFolders bool
}

var fingerprintSeed = maphash.MakeSeed()

func fingerprintOf(c *folderContents) (p fingerprint) {
	for _, raw := range c.names {
		var h maphash.Hash
		h.SetSeed(fingerprintSeed)
		_, _ = h.WriteString(raw.name)
		_ = h.WriteByte(byte(raw.kind))
		p.names += h.Sum64()
		var b [12]byte
		binary.BigEndian.PutUint64(b[:], raw.attrs.Size)
		binary.BigEndian.PutUint32(b[8:], raw.attrs.Mtime)
		_, _ = h.Write(b[:])
		p.all += h.Sum64()
		p.hasFolders = p.hasFolders || raw.kind == kindFolder || raw.kind == kindUnreported || raw.kind == kindSymlink
	}
	return p
}

// maxSuspects is with how many folders above a folder is compared.
const maxComparedAncestors = 4

// loop returns the folder above that this one is again, by a link or a mount; ""
// for none. One with the same entries as a folder above is suspect; then the server
// is asked for the true paths. One that does not know them is followed around: what
// is the same at every turn, for as many as a real tree may have, is a loop.
func (w *walk) findLoop(ctx context.Context, n *node, found *folderContents) (path string, err error) {
	n.fingerprint = fingerprintOf(found)
	if !n.fingerprint.hasFolders {
		return "", nil
	}
	compared := 0
	for ancestor := n.parent; ancestor != nil && compared < maxComparedAncestors; ancestor = ancestor.parent {
		if ancestor.fingerprint.names != n.fingerprint.names {
			continue
		}
		compared++
		same, err := w.isSameFolder(ctx, ancestor, n)
		if err != nil {
			return "", err
		}
		if same {
			return w.path(ancestor), nil
		}
	}
	return "", nil
}

func (w *walk) isSameFolder(ctx context.Context, ancestor, n *node) (bool, error) {
	s, ancestorPath, folderPath := w.session, w.path(ancestor), w.path(n)
	realAncestor, err := s.realpath(ctx, ancestorPath)
	if err == nil {
		var realFolder string
		if realFolder, err = s.realpath(ctx, folderPath); err == nil {
			if realAncestor == realFolder {
				return true, nil
			}
			if realFolder != folderPath {
				return false, nil // the server knows links, and this is another folder
			}
		}
	}
	if err != nil && !isReplyError(err) {
		return false, err
	}
	return w.repeats(ctx, ancestor, n)
}

// goesRound follows the way from the one folder to the other, step by step, for as many
// turns as there may be folders in one another: those that only look alike end before.
func (w *walk) repeats(ctx context.Context, ancestor, n *node) (bool, error) {
	if ancestor.fingerprint.all != n.fingerprint.all {
		return false, nil
	}
	var turn []*node // the folders of one turn, this one last
	for at := n; at != ancestor; at = at.parent {
		turn = append(turn, at)
	}
	slices.Reverse(turn)
	at := w.path(n)
	for step := range ingest.MaxDepth * len(turn) {
		expected := turn[step%len(turn)]
		if at += "/" + expected.name; len(at) > maxPathBytes {
			return true, nil // no real tree has such paths
		}
		found, err := w.session.readFolder(ctx, at, w.limits())
		if err != nil && !isReplyError(err) {
			return false, err
		}
		deep := step/len(turn) > minFollowedTurns
		if err != nil { // it was listed; a server that follows no more links fails
			return deep && !isPermission(err), nil
		}
		if fingerprintOf(found).all == expected.fingerprint.all {
			continue
		}
		if !deep {
			return false, nil
		}
		original, err := w.session.readFolder(ctx, w.path(expected), w.limits())
		if err != nil {
			return false, ignoreReplyError(err)
		}
		return isTruncatedCopy(found, original, turn[(step+1)%len(turn)].name), nil
	}
	return true, nil
}

func ignoreReplyError(err error) error {
	if isReplyError(err) {
		return nil
	}
	return err
}

// isRest reports whether what is found is what is left of a folder where the server
// follows no more links: links are shown as such or not at all, it does not go on to next,
// and all else is as it was, by size and time, too. A tree that only looks alike ends in
// something of its own.
func isTruncatedCopy(found, original *folderContents, next string) bool {
	before := make(map[string]rawName, len(original.names))
	for _, raw := range original.names {
		before[raw.name] = raw
	}
	same := false
	for _, raw := range found.names {
		old, there := before[raw.name]
		switch {
		case raw.kind == kindSymlink && there:
			same = same || raw.name == next
		case raw.name == next || !there || raw.kind != old.kind || raw.attrs.Size != old.attrs.Size || raw.attrs.Mtime != old.attrs.Mtime:
			return false
		default:
			same = true
		}
	}
	return same
}

// followedLinks is how many turns a server goes along at least before it refuses a
// path for the links in it: Linux follows 40, and a turn may have a few.
const minFollowedTurns = 10

// lookups bounds the questions about single entries of one listing.
type lookups struct {
	requested, useless int
}

const (
	// maxLookups bounds how many entries of one listing are asked about one by one;
	// files beyond it are rejected, for no size or no type.
	maxLookups = 200_000
	// maxVain is after how many entries of which the server says no more than in the
	// listing it is not asked any further.
	maxUselessLookups = 64
	// looksAtOnce is how many are asked about at the same time.
	parallelLookups = 8
)

// resolve asks about the entries of which the listing does not say enough: what
// they are, how large, how old, and where links lead.
func (w *walk) resolveEntries(ctx context.Context, at folder, found *folderContents) error {
	type question struct {
		place int
		entry entry
	}
	var open []question
	for i, e := range found.entries(at.path) {
		if w.needsLookup(e) && w.lookups.requested < maxLookups {
			w.lookups.requested++
			open = append(open, question{i, e})
		}
		if len(open) < parallelLookups {
			continue
		}
		if err := w.lookUpAll(ctx, len(open), func(n int) (int, entry) { return open[n].place, open[n].entry }, found); err != nil {
			return err
		}
		open = open[:0]
	}
	return w.lookUpAll(ctx, len(open), func(n int) (int, entry) { return open[n].place, open[n].entry }, found)
}

// asksAbout reports whether the entry must be looked at.
func (w *walk) needsLookup(e entry) bool {
	if e.unsafeReason() != "" || !w.filter.includes(e.path) && !w.filter.enters(e.path) {
		return false
	}
	switch e.kind {
	case kindUnreported:
		return true
	case kindRegular:
		return w.filter.includes(e.path) && (!e.attrs.hasSize() || !e.attrs.hasTime()) && w.lookups.useless < maxUselessLookups
	case kindSymlink:
		return w.filter.server.FollowLinks
	default:
		return false
	}
}

// lookAll looks at several entries at once and puts in what it learns.
func (w *walk) lookUpAll(ctx context.Context, n int, of func(int) (int, entry), found *folderContents) error {
	type answer struct {
		pathInfo
		why string
		err error
	}
	answers := make([]answer, n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			defer func() { done <- struct{}{} }()
			_, e := of(i)
			a := &answers[i]
			if e.kind == kindSymlink {
				a.pathInfo, a.why, a.err = w.session.followLink(ctx, e.path)
				return
			}
			a.pathInfo, a.err = w.session.statEntry(ctx, e)
		}()
	}
	for range n {
		<-done
	}
	for i, a := range answers {
		place, e := of(i)
		switch {
		case a.err != nil && !isReplyError(a.err):
			return a.err
		case a.why != "":
			found.reject(place, a.why)
		case a.err == nil:
			w.completeEntry(&found.names[place], e, a.pathInfo)
		default:
			w.lookups.useless++
		}
	}
	return nil
}

// lookAgain looks at an entry of which the listing says too little.
func (s *Session) statEntry(ctx context.Context, e entry) (pathInfo, error) {
	at, err := s.requestAttrs(ctx, packetLstat, e.path)
	if isReplyError(err) {
		at, err = s.statNoFollow(ctx, e.path)
	}
	if isReplyError(err) && e.kind == kindUnreported {
		at, err = pathInfo{attrs: e.attrs}, nil
	}
	if err == nil && at.kind == kindUnreported && e.kind == kindUnreported {
		at.kind, err = s.kindByOpening(ctx, e.path)
	}
	return at, err
}

// learn completes an entry.
func (w *walk) completeEntry(raw *rawName, before entry, at pathInfo) {
	if before.kind != kindRegular {
		raw.kind = at.kind
	} else if at.kind != kindUnreported && at.kind != kindRegular {
		raw.kind = at.kind // the listing was wrong, or it has been replaced
	}
	if before.kind == kindSymlink {
		raw.attrs = at.attrs
		return
	}
	w.lookups.useless++
	if at.attrs.hasSize() && !before.attrs.hasSize() {
		raw.attrs.Size, raw.attrs.flags, w.lookups.useless = at.attrs.Size, raw.attrs.flags|attrSize, 0
	}
	if at.attrs.hasTime() && !before.attrs.hasTime() {
		raw.attrs.Mtime, raw.attrs.flags, w.lookups.useless = at.attrs.Mtime, raw.attrs.flags|attrTimes, 0
	}
	if before.kind == kindUnreported && raw.kind != kindUnreported {
		w.lookups.useless = 0
	}
}

// reject gives a reason why an entry is not taken.
func (c *folderContents) reject(index int, reason string) {
	if c.rejections == nil {
		c.rejections = make(map[int]string)
	}
	c.rejections[index] = reason
}
