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
type prints struct {
	names, all uint64
	folders    bool
}

var printSeed = maphash.MakeSeed()

func printsOf(c *contents) (p prints) {
	for _, raw := range c.names {
		var h maphash.Hash
		h.SetSeed(printSeed)
		_, _ = h.WriteString(raw.name)
		_ = h.WriteByte(byte(raw.kind))
		p.names += h.Sum64()
		var b [12]byte
		binary.BigEndian.PutUint64(b[:], raw.attrs.Size)
		binary.BigEndian.PutUint32(b[8:], raw.attrs.Mtime)
		_, _ = h.Write(b[:])
		p.all += h.Sum64()
		p.folders = p.folders || raw.kind == kindFolder || raw.kind == kindUnsaid || raw.kind == kindSymlink
	}
	return p
}

// maxSuspects is with how many folders above a folder is compared.
const maxSuspects = 4

// loop returns the folder above that this one is again, by a link or a mount; ""
// for none. One with the same entries as a folder above is suspect; then the server
// is asked for the true paths. One that does not know them is followed around: what
// is the same at every turn, for as many as a real tree may have, is a loop.
func (w *walk) loop(ctx context.Context, n *node, found *contents) (same string, err error) {
	n.prints = printsOf(found)
	if !n.prints.folders {
		return "", nil
	}
	suspects := 0
	for above := n.parent; above != nil && suspects < maxSuspects; above = above.parent {
		if above.prints.names != n.prints.names {
			continue
		}
		suspects++
		is, err := w.isAgain(ctx, above, n)
		if err != nil {
			return "", err
		}
		if is {
			return w.path(above), nil
		}
	}
	return "", nil
}

func (w *walk) isAgain(ctx context.Context, above, n *node) (bool, error) {
	s, upper, lower := w.session, w.path(above), w.path(n)
	realUpper, err := s.realpath(ctx, upper)
	if err == nil {
		var realLower string
		if realLower, err = s.realpath(ctx, lower); err == nil {
			if realUpper == realLower {
				return true, nil
			}
			if realLower != lower {
				return false, nil // the server knows links, and this is another folder
			}
		}
	}
	if err != nil && !refusal(err) {
		return false, err
	}
	return w.goesRound(ctx, above, n)
}

// goesRound follows the way from the one folder to the other, step by step, for as many
// turns as there may be folders in one another: those that only look alike end before.
func (w *walk) goesRound(ctx context.Context, above, n *node) (bool, error) {
	if above.prints.all != n.prints.all {
		return false, nil
	}
	var way []*node // the folders of one turn, this one last
	for at := n; at != above; at = at.parent {
		way = append(way, at)
	}
	slices.Reverse(way)
	at := w.path(n)
	for step := range ingest.MaxDepth * len(way) {
		is := way[step%len(way)]
		if at += "/" + is.name; len(at) > maxPathBytes {
			return true, nil // no real tree has such paths
		}
		found, err := w.session.readFolder(ctx, at, w.limits())
		if err != nil && !refusal(err) {
			return false, err
		}
		far := step/len(way) > followedLinks
		if err != nil { // it was listed; a server that follows no more links fails
			return far && !isPermission(err), nil
		}
		if printsOf(found).all == is.prints.all {
			continue
		}
		if !far {
			return false, nil
		}
		began, err := w.session.readFolder(ctx, w.path(is), w.limits())
		if err != nil {
			return false, unlessRefusal(err)
		}
		return isRest(found, began, way[(step+1)%len(way)].name), nil
	}
	return true, nil
}

func unlessRefusal(err error) error {
	if refusal(err) {
		return nil
	}
	return err
}

// isRest reports whether what is found is what is left of a folder where the server
// follows no more links: links are shown as such or not at all, it does not go on to next,
// and all else is as it was, by size and time, too. A tree that only looks alike ends in
// something of its own.
func isRest(found, began *contents, next string) bool {
	before := make(map[string]rawName, len(began.names))
	for _, raw := range began.names {
		before[raw.name] = raw
	}
	same := false
	for _, raw := range found.names {
		was, there := before[raw.name]
		switch {
		case raw.kind == kindSymlink && there:
			same = same || raw.name == next
		case raw.name == next || !there || raw.kind != was.kind || raw.attrs.Size != was.attrs.Size || raw.attrs.Mtime != was.attrs.Mtime:
			return false
		default:
			same = true
		}
	}
	return same
}

// followedLinks is how many turns a server goes along at least before it refuses a
// path for the links in it: Linux follows 40, and a turn may have a few.
const followedLinks = 10

// lookups bounds the questions about single entries of one listing.
type lookups struct {
	asked, vain int
}

const (
	// maxLookups bounds how many entries of one listing are asked about one by one;
	// files beyond it are rejected, for no size or no type.
	maxLookups = 200_000
	// maxVain is after how many entries of which the server says no more than in the
	// listing it is not asked any further.
	maxVain = 64
	// looksAtOnce is how many are asked about at the same time.
	looksAtOnce = 8
)

// resolve asks about the entries of which the listing does not say enough: what
// they are, how large, how old, and where links lead.
func (w *walk) resolve(ctx context.Context, at folder, found *contents) error {
	type question struct {
		place int
		entry entry
	}
	var open []question
	for i, e := range found.in(at.path) {
		if w.asksAbout(e) && w.lookups.asked < maxLookups {
			w.lookups.asked++
			open = append(open, question{i, e})
		}
		if len(open) < looksAtOnce {
			continue
		}
		if err := w.lookAll(ctx, len(open), func(n int) (int, entry) { return open[n].place, open[n].entry }, found); err != nil {
			return err
		}
		open = open[:0]
	}
	return w.lookAll(ctx, len(open), func(n int) (int, entry) { return open[n].place, open[n].entry }, found)
}

// asksAbout reports whether the entry must be looked at.
func (w *walk) asksAbout(e entry) bool {
	if e.unsafe() != "" || !w.filter.takes(e.path) && !w.filter.enters(e.path) {
		return false
	}
	switch e.kind {
	case kindUnsaid:
		return true
	case kindRegular:
		return w.filter.takes(e.path) && (!e.attrs.sized() || !e.attrs.timed()) && w.lookups.vain < maxVain
	case kindSymlink:
		return w.filter.server.FollowLinks
	default:
		return false
	}
}

// lookAll looks at several entries at once and puts in what it learns.
func (w *walk) lookAll(ctx context.Context, n int, of func(int) (int, entry), found *contents) error {
	type answer struct {
		looked
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
				a.looked, a.why, a.err = w.session.followed(ctx, e.path)
				return
			}
			a.looked, a.err = w.session.lookAgain(ctx, e)
		}()
	}
	for range n {
		<-done
	}
	for i, a := range answers {
		place, e := of(i)
		switch {
		case a.err != nil && !refusal(a.err):
			return a.err
		case a.why != "":
			found.reject(place, a.why)
		case a.err == nil:
			w.learn(&found.names[place], e, a.looked)
		default:
			w.lookups.vain++
		}
	}
	return nil
}

// lookAgain looks at an entry of which the listing says too little.
func (s *Session) lookAgain(ctx context.Context, e entry) (looked, error) {
	at, err := s.attributesBy(ctx, packetLstat, e.path)
	if refusal(err) {
		at, err = s.statUnlinked(ctx, e.path)
	}
	if refusal(err) && e.kind == kindUnsaid {
		at, err = looked{attrs: e.attrs}, nil
	}
	if err == nil && at.kind == kindUnsaid && e.kind == kindUnsaid {
		at.kind, err = s.tryAsFolder(ctx, e.path)
	}
	return at, err
}

// learn completes an entry.
func (w *walk) learn(raw *rawName, before entry, at looked) {
	if before.kind != kindRegular {
		raw.kind = at.kind
	} else if at.kind != kindUnsaid && at.kind != kindRegular {
		raw.kind = at.kind // the listing was wrong, or it has been replaced
	}
	if before.kind == kindSymlink {
		raw.attrs = at.attrs
		return
	}
	w.lookups.vain++
	if at.attrs.sized() && !before.attrs.sized() {
		raw.attrs.Size, raw.attrs.flags, w.lookups.vain = at.attrs.Size, raw.attrs.flags|attrSize, 0
	}
	if at.attrs.timed() && !before.attrs.timed() {
		raw.attrs.Mtime, raw.attrs.flags, w.lookups.vain = at.attrs.Mtime, raw.attrs.flags|attrTimes, 0
	}
	if before.kind == kindUnsaid && raw.kind != kindUnsaid {
		w.lookups.vain = 0
	}
}

// reject gives a reason why an entry is not taken.
func (c *contents) reject(place int, why string) {
	if c.why == nil {
		c.why = make(map[int]string)
	}
	c.why[place] = why
}
