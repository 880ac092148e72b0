package sftp

import (
	"cmp"
	"iter"
	"strings"

	"stevedore/internal/ingest"
)

// report notes the folders of one folder and, if it is to tell, passes on what is to
// be recorded.
func (w *walk) report(at folder, found *contents, tell bool) error {
	entries := found.in(at.path)
	w.tell = tell
	beside := newCompanions(w.filter.server, at.path, found.names, w.usable(entries), w.filter.inProgress)
	for _, e := range entries {
		seen, ok := w.consider(at, e, &beside)
		if !ok || !tell {
			continue
		}
		if err := w.fn(seen); err != nil {
			return err
		}
	}
	return nil
}

// usable are the regular files that can be a companion or have one, by name with
// their place. An excluded companion is not used.
func (w *walk) usable(entries iter.Seq2[int, entry]) map[string]int {
	usable := make(map[string]int)
	for i, e := range entries {
		if e.kind != kindRegular || e.unsafe() != "" || w.companion(e.name) && w.filter.excludes(e.path) {
			continue
		}
		usable[e.name] = i
	}
	return usable
}

// companion reports whether the name is that of a done-marker or checksum file.
func (w *walk) companion(name string) bool {
	_, sums := ingest.ParseChecksumName(name)
	return sums || w.filter.server.IsMarker(name)
}

// consider says what is to be recorded of an entry, if anything.
func (w *walk) consider(at folder, e entry, beside *companions) (seen ingest.Observation, ok bool) {
	seen = observe(e.path, e.attrs)
	switch {
	case e.unsafe() != "":
		seen.Rejected = e.unsafe()
		return seen, !w.filter.excludes(e.path)
	case e.kind == kindFolder:
		return w.considerFolder(at, e, seen)
	case e.kind == kindRegular && w.companion(e.name) && !w.filter.delivers(e.path, beside.speaks[e.name]):
		return w.alone(e, seen, beside)
	case w.filter.inProgress(e.name):
		seen.Aside = ingest.AsideInProgress
		return seen, e.kind == kindRegular && !w.filter.excludes(e.path)
	case !w.filter.takes(e.path):
		w.unmatched(e.path)
		return seen, false
	}
	seen.Rejected = cmp.Or(e.why, reject(e.kind, e.attrs))
	if seen.Rejected == "" && !e.attrs.sized() {
		seen.Rejected = "comes without a size"
	}
	if seen.Rejected == "" {
		seen.Sidecar, seen.Marker = beside.of(e.name), beside.marker(e.path)
		seen.WaitsFor = w.filter.server.WaitsForSize(seen.Size)
		if wanted := w.filter.server.WaitsForMarker(e.path, seen.ModTime, seen.Marker); wanted != "" {
			seen.WaitsFor = wanted
		}
	}
	return seen, true
}

func (w *walk) considerFolder(at folder, e entry, seen ingest.Observation) (ingest.Observation, bool) {
	switch {
	case e.path != w.filter.moved && (w.filter.excludes(e.path) || !w.filter.leads(e.path)):
		w.unmatched(e.path + "/")
		return seen, false
	case !w.filter.enters(e.path):
		return seen, false
	case at.depth == ingest.MaxDepth:
		seen.Size, seen.Rejected = 0, "is a folder too deep to be listed"
		return seen, true
	case at.depth == w.filter.server.MaxDepth:
		return seen, false // as its operator asked
	}
	w.below = append(w.below, e.name)
	return seen, false
}

// alone sets a companion aside that speaks of no file that is there. Others are
// named at what they speak of.
func (w *walk) alone(e entry, seen ingest.Observation, beside *companions) (ingest.Observation, bool) {
	in := e.path[:strings.LastIndexByte(e.path, '/')+1]
	sums, isSums := ingest.ParseChecksumName(e.name)
	switch {
	case w.filter.excludes(e.path), beside.speaks[e.name]:
		return seen, false
	case w.filter.server.IsMarker(e.name):
		seen.Of = w.filter.server.MarkedBy(in, e.name)
		if seen.Of == "" && beside.plain || seen.Of != "" && beside.has(seen.Of[len(in):]) {
			return seen, false
		}
	case isSums && !sums.Shared():
		seen.Of = in + sums.Base
	}
	seen.Aside = ingest.AsideCompanion
	return seen, true
}

// unmatched tells of an entry that the globs leave out, once.
func (w *walk) unmatched(path string) {
	if w.tell && w.request.Unmatched != nil {
		w.request.Unmatched(path)
	}
}
