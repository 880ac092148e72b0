package sftp

import (
	"cmp"
	"iter"
	"strings"

	"stevedore/internal/ingest"
)

// emit collects the subfolders of a folder and, if reporting, passes the observations to
// fn.
func (w *walk) emit(at folder, found *folderContents, reporting bool) error {
	entries := found.entries(at.path)
	w.reporting = reporting
	pairs := newCompanions(w.filter.server, at.path, found.names, w.companionCandidates(entries), w.filter.inProgress)
	for _, e := range entries {
		seen, ok := w.classify(at, e, &pairs)
		if !ok || !reporting {
			continue
		}
		if err := w.fn(seen); err != nil {
			return err
		}
	}
	return nil
}

// companionCandidates returns the indexes of the regular files that can be or have a
// companion, by name. Excluded companions are omitted.
func (w *walk) companionCandidates(entries iter.Seq2[int, entry]) map[string]int {
	usable := make(map[string]int)
	for i, e := range entries {
		if e.kind != kindRegular || e.unsafeReason() != "" || w.isCompanion(e.name) && w.filter.excludes(e.path) {
			continue
		}
		usable[e.name] = i
	}
	return usable
}

// isCompanion reports whether the name is that of a done-marker or checksum file.
func (w *walk) isCompanion(name string) bool {
	_, sums := ingest.ParseChecksumName(name)
	return sums || w.filter.server.IsMarker(name)
}

// classify returns the observation of an entry; ok is false if there is none to record.
func (w *walk) classify(at folder, e entry, pairs *companions) (seen ingest.Observation, ok bool) {
	seen = observe(e.path, e.attrs)
	switch {
	case e.unsafeReason() != "":
		seen.Rejected = e.unsafeReason()
		return seen, !w.filter.excludes(e.path)
	case e.kind == kindFolder:
		return w.classifyFolder(at, e, seen)
	case e.kind == kindRegular && w.isCompanion(e.name) && !w.filter.isDelivery(e.path, pairs.paired[e.name]):
		return w.classifyCompanion(e, seen, pairs)
	case w.filter.inProgress(e.name):
		seen.Ignored = ingest.IgnoredInProgress
		return seen, e.kind == kindRegular && !w.filter.excludes(e.path)
	case !w.filter.includes(e.path):
		w.noteUnmatched(e.path)
		return seen, false
	}
	seen.Rejected = cmp.Or(e.rejection, rejectReason(e.kind, e.attrs))
	if seen.Rejected == "" && !e.attrs.hasSize() {
		seen.Rejected = "has no size"
	}
	if seen.Rejected == "" {
		seen.Sidecar, seen.Marker = pairs.checksumFile(e.name), pairs.marker(e.path)
		seen.WaitsFor = w.filter.server.WaitsForSize(seen.Size)
		if wanted := w.filter.server.WaitsForMarker(e.path, seen.ModTime, seen.Marker); wanted != "" {
			seen.WaitsFor = wanted
		}
	}
	return seen, true
}

func (w *walk) classifyFolder(at folder, e entry, seen ingest.Observation) (ingest.Observation, bool) {
	switch {
	case e.path != w.filter.moveTarget && (w.filter.excludes(e.path) || !w.filter.mayContain(e.path)):
		w.noteUnmatched(e.path + "/")
		return seen, false
	case !w.filter.enters(e.path):
		return seen, false
	case at.depth == ingest.MaxDepth:
		seen.Size, seen.Rejected = 0, "is a folder beyond the maximum depth"
		return seen, true
	case at.depth == w.filter.server.MaxDepth:
		return seen, false // beyond the configured depth
	}
	w.subfolders = append(w.subfolders, e.name)
	return seen, false
}

// classifyCompanion returns an observation with Aside set for a companion without a
// file. Paired companions are recorded with their file.
func (w *walk) classifyCompanion(e entry, seen ingest.Observation, pairs *companions) (ingest.Observation, bool) {
	in := e.path[:strings.LastIndexByte(e.path, '/')+1]
	sums, isSums := ingest.ParseChecksumName(e.name)
	switch {
	case w.filter.excludes(e.path), pairs.paired[e.name]:
		return seen, false
	case w.filter.server.IsMarker(e.name):
		seen.Of = w.filter.server.MarkedBy(in, e.name)
		if seen.Of == "" && pairs.hasData || seen.Of != "" && pairs.has(seen.Of[len(in):]) {
			return seen, false
		}
	case isSums && !sums.Shared():
		seen.Of = in + sums.Base
	}
	seen.Ignored = ingest.IgnoredCompanion
	return seen, true
}

// noteUnmatched reports an entry that the globs leave out.
func (w *walk) noteUnmatched(path string) {
	if w.reporting && w.request.Unmatched != nil {
		w.request.Unmatched(path)
	}
}
