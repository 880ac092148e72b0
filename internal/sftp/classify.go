package sftp

import (
	"cmp"
	"iter"
	"strconv"
	"strings"

	"stevedore/internal/ingest"
)

// emit collects the subfolders of a folder and, if reporting, passes the observations to
// fn.
func (w *walk) emit(at folder, found *folderContents, reporting bool) error {
	entries := found.entries(at.path)
	pairs := newCompanions(w.filter.server, at.path, found.names, w.companionCandidates(entries), w.filter.inProgress)
	for _, e := range entries {
		seen, omitted, record := w.classify(at, e, &pairs)
		if !reporting {
			continue
		}
		if omitted != (ingest.Omission{}) && w.request.Omitted != nil {
			w.request.Omitted(displayName(e), omitted)
		}
		if !record {
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
		if e.kind != kindRegular || e.unsafeReason() != "" || w.isCompanion(e.name) && w.filter.excludedBy(e.path) != "" {
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

// classify returns the observation of an entry and the reason why it is omitted; record is
// false if there is nothing to record.
func (w *walk) classify(at folder, e entry, pairs *companions) (seen ingest.Observation, omitted ingest.Omission, record bool) {
	seen = observe(e.path, e.attrs)
	excluded := w.filter.excludedBy(e.path)
	switch {
	case e.kind == kindFolder && e.unsafeReason() == "":
		return w.classifyFolder(at, e, seen)
	case excluded != "":
		return seen, ingest.Omission{Reason: ingest.OmitExcluded, Detail: excluded}, false
	case e.unsafeReason() != "":
		return rejected(seen, e.unsafeReason())
	case e.kind == kindRegular && w.isCompanion(e.name) && !w.filter.isDelivery(e.path, pairs.paired[e.name]):
		return w.classifyCompanion(e, seen, pairs)
	}
	if glob := firstMatch(w.filter.inProgressNames, strings.ToLower(e.name)); glob != "" {
		seen.Ignored = ingest.IgnoredInProgress
		return seen, ingest.Omission{Reason: ingest.OmitInProgress, Detail: glob}, e.kind == kindRegular
	}
	if !w.filter.includes(e.path) {
		return seen, ingest.Omission{Reason: ingest.OmitNotIncluded}, false
	}
	if cause := cmp.Or(e.rejection, rejectReason(e.kind, e.attrs)); cause != "" {
		return rejected(seen, cause)
	}
	seen.Sidecar, seen.Marker = pairs.checksumFile(e.name), pairs.marker(e.path)
	seen.WaitsFor = w.filter.server.WaitsForSize(seen.Size)
	if wanted := w.filter.server.WaitsForMarker(e.path, seen.ModTime, seen.Marker); wanted != "" {
		seen.WaitsFor = wanted
	}
	return seen, ingest.Omission{}, true
}

func rejected(seen ingest.Observation, cause string) (ingest.Observation, ingest.Omission, bool) {
	seen.Rejected = cause
	return seen, ingest.Omission{Reason: ingest.OmitRejected, Detail: cause}, true
}

func (w *walk) classifyFolder(at folder, e entry, seen ingest.Observation) (ingest.Observation, ingest.Omission, bool) {
	omitted := w.filter.omitsFolder(e.path)
	switch {
	case omitted != (ingest.Omission{}):
		return seen, omitted, false
	case at.depth == ingest.MaxDepth:
		seen.Size = 0
		return rejected(seen, "is a folder beyond the maximum depth")
	case at.depth == w.filter.server.MaxDepth:
		return seen, ingest.Omission{Reason: ingest.OmitTooDeep, Detail: strconv.Itoa(at.depth)}, false
	}
	w.subfolders = append(w.subfolders, e.name)
	return seen, ingest.Omission{}, false
}

// classifyCompanion returns an observation with Ignored set for a companion without a
// file. Paired companions are recorded with their file.
func (w *walk) classifyCompanion(e entry, seen ingest.Observation, pairs *companions) (ingest.Observation, ingest.Omission, bool) {
	in := e.path[:strings.LastIndexByte(e.path, '/')+1]
	sums, isSums := ingest.ParseChecksumName(e.name)
	companion := ingest.Omission{Reason: ingest.OmitCompanion}
	switch {
	case pairs.paired[e.name]:
		return seen, companion, false
	case w.filter.server.IsMarker(e.name):
		seen.Of = w.filter.server.MarkedBy(in, e.name)
		if seen.Of == "" && pairs.hasData || seen.Of != "" && pairs.has(seen.Of[len(in):]) {
			return seen, companion, false
		}
	case isSums && !sums.Shared():
		seen.Of = in + sums.Base
	}
	seen.Ignored = ingest.IgnoredCompanion
	return seen, companion, true
}

// displayName returns the path of an entry, with '/' at the end of a folder's.
func displayName(e entry) string {
	if e.kind == kindFolder {
		return e.path + "/"
	}
	return e.path
}
