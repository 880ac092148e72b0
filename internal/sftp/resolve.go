package sftp

import (
	"context"
	"sync"
)

// lookups counts the requests for single entries of one listing. useless counts
// the last consecutive ones that added nothing to the listing.
type lookups struct {
	requested, useless int
}

const (
	// maxLookups bounds the lookups of one listing. Further entries are rejected if they
	// have no size or type.
	maxLookups = 200_000
	// maxUselessLookups is the number of consecutive useless lookups after which missing
	// sizes and times are no longer requested.
	maxUselessLookups = 64
	// parallelLookups is the number of concurrent lookups.
	parallelLookups = 8
)

// lookup is an entry to look up, with its index in the folder.
type lookup struct {
	index int
	entry entry
}

// resolveEntries completes the entries whose type, size, time or link target is not in
// the listing.
func (w *walk) resolveEntries(ctx context.Context, at folder, found *folderContents) error {
	var batch []lookup
	for i, e := range found.entries(at.path) {
		if w.needsLookup(e) && w.lookups.requested < maxLookups {
			w.lookups.requested++
			batch = append(batch, lookup{i, e})
		}
		if len(batch) < parallelLookups {
			continue
		}
		if err := w.lookUpAll(ctx, batch, found); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return w.lookUpAll(ctx, batch, found)
}

// needsLookup reports whether the entry is incomplete and may be included.
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

// lookUpAll looks up the entries concurrently and completes them.
func (w *walk) lookUpAll(ctx context.Context, batch []lookup, found *folderContents) error {
	type result struct {
		pathInfo
		rejection string
		err       error
	}
	results := make([]result, len(batch))
	var all sync.WaitGroup
	for i, l := range batch {
		all.Go(func() {
			r := &results[i]
			if l.entry.kind == kindSymlink {
				r.pathInfo, r.rejection, r.err = w.session.followLink(ctx, l.entry.path)
				return
			}
			r.pathInfo, r.err = w.session.statEntry(ctx, l.entry)
		})
	}
	all.Wait()
	for i, r := range results {
		switch {
		case r.err != nil && !isReplyError(r.err):
			return r.err
		case r.rejection != "":
			found.reject(batch[i].index, r.rejection)
		case r.err == nil:
			w.completeEntry(&found.names[batch[i].index], batch[i].entry, r.pathInfo)
		default:
			w.lookups.useless++
		}
	}
	return nil
}

// statEntry returns the type and attributes of an incomplete entry.
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
	if err == nil {
		at.attrs, err = s.completeAttrs(ctx, e.path, pathInfo{at.kind, at.attrs.filled(e.attrs)})
	}
	return at, err
}

// completeEntry adds the result of a lookup to the entry.
func (w *walk) completeEntry(raw *rawName, before entry, at pathInfo) {
	if before.kind != kindRegular {
		raw.kind = at.kind
	} else if at.kind != kindUnreported && at.kind != kindRegular {
		raw.kind = at.kind // the listing was wrong, or the file has been replaced
	}
	if before.kind == kindSymlink {
		raw.attrs = at.attrs
		return
	}
	raw.attrs = before.attrs.filled(at.attrs)
	if raw.attrs.flags != before.attrs.flags || before.kind == kindUnreported && raw.kind != kindUnreported {
		w.lookups.useless = 0
	} else {
		w.lookups.useless++
	}
}

// reject sets the reason to reject an entry.
func (c *folderContents) reject(index int, reason string) {
	if c.rejections == nil {
		c.rejections = make(map[int]string)
	}
	c.rejections[index] = reason
}
