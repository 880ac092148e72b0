package sftp

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"stevedore/internal/ingest"
)

// fingerprint identifies a folder by its entries in any order: names digests names and
// kinds, all also sizes and times.
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

// maxComparedAncestors bounds the ancestors that a folder is compared with.
const maxComparedAncestors = 4

// findLoop returns the path of the ancestor that this folder is identical to, by a link
// or a mount; "" for none. Ancestors with the same entries are candidates, and REALPATH
// decides. If the server does not resolve links, the walk repeats the path from the
// ancestor to the folder: if it never changes up to the maximum depth, it is a loop.
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
				return false, nil // the server resolves links, and this is another folder
			}
		}
	}
	if err != nil && !isReplyError(err) {
		return false, err
	}
	return w.repeats(ctx, ancestor, n)
}

// repeats reports whether the path from the ancestor to the folder can be repeated up to
// the maximum depth with identical folders. Trees that only look alike end earlier.
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
			return true, nil // too long for a real tree
		}
		found, err := w.session.readFolder(ctx, at, w.limits())
		if err != nil && !isReplyError(err) {
			return false, err
		}
		deep := step/len(turn) > minFollowedTurns
		if err != nil { // the folder was listed, but the server may refuse to follow more links
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

// isTruncatedCopy reports whether found is the original folder at a depth where the
// server no longer follows links: links are listed as links or not at all, next is
// missing, and all other entries are unchanged, also in size and time. The last folder of
// a tree that only looks alike differs.
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

// minFollowedTurns is the minimum number of turns before a server refuses a path because
// of its links: Linux follows 40, and a turn may have several.
const minFollowedTurns = 10
