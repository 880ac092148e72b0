package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RecheckSettlingInput names the server whose settling files are checked.
type RecheckSettlingInput struct {
	ServerUUID string `json:"server_uuid"`
}

// RecheckSettlingResult counts the files by result.
type RecheckSettlingResult struct {
	Ready    int64 `json:"ready"`
	Settling int64 `json:"settling"`
	Vanished int64 `json:"vanished"`

	// Paused: the server is paused or removed and was not contacted; the other fields
	// are empty.
	Paused bool `json:"paused,omitempty"`
}

// recheckPage is the page size for reading settling files from the ledger.
const recheckPage = 500

// RecheckSettling stats the settling files and makes those ready whose size and time
// have not changed. A server-level error suspends the server.
func (a *Activities) RecheckSettling(ctx context.Context, in RecheckSettlingInput) (RecheckSettlingResult, error) {
	server, halt, err := a.serverAndHalt(ctx, in.ServerUUID)
	if err != nil || halt.Paused {
		return RecheckSettlingResult{Paused: halt.Paused}, applicationError(err)
	}
	var result RecheckSettlingResult
	err = unlessRefused(ctx, nil, func() (err error) {
		result, err = a.recheck(ctx, server)
		return err
	})
	if ingest.KindOf(err).Suspends() {
		if suspendErr := a.Catalog.SuspendServer(ctx, server.UUID, ingest.Message(err)); suspendErr != nil {
			err = suspendErr
		}
	}
	return result, drainError(err)
}

func (a *Activities) recheck(ctx context.Context, server ingest.Server) (r RecheckSettlingResult, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{StallMessage: noAnswer(server), StopsOnDrain: true, Sparse: true, StallTimeout: a.stallTimeout(server)})
	defer func() { err = watchdog.stop(err) }()
	source, err := a.open(ctx, server)
	if err != nil {
		return r, err
	}
	defer func() { _ = source.Close() }()
	source.OnReply(watchdog.markAlive)
	for after, looked := int64(0), int64(0); ; {
		files, err := a.Catalog.Settling(ctx, server.UUID, after, recheckPage)
		if err != nil {
			return r, err
		}
		if len(files) == 0 {
			break
		}
		after, looked = files[len(files)-1].ID, looked+int64(len(files))
		vanished, err := a.restat(ctx, server, source, files)
		if err != nil {
			return r, err
		}
		r.Vanished += vanished
		watchdog.report(looked)
	}
	if err := a.checkMoves(ctx, source, server); err != nil {
		return r, err
	}
	r.Ready, r.Settling, err = a.Catalog.Promote(ctx, server)
	return r, err
}

// restat stats one page of files and records the observations.
func (a *Activities) restat(ctx context.Context, server ingest.Server, source Source, files []ingest.File) (vanished int64, err error) {
	files, vanished, err = a.endExcluded(ctx, source, files)
	if err != nil {
		return vanished, err
	}
	seen := make([]ingest.Observation, 0, len(files))
	beside := companionFinder{source: source, server: server, seen: map[string]ingest.Companion{}}
	for _, file := range files {
		now, err := source.Stat(ctx, file.RemotePath)
		switch {
		case ingest.IsKind(err, ingest.KindNotFound):
			if err := a.markVanished(ctx, file); err != nil {
				return vanished, err
			}
			vanished++
		case err != nil:
			return vanished, err
		default:
			if err := beside.find(ctx, file, &now); err != nil {
				return vanished, err
			}
			seen = append(seen, now)
		}
	}
	_, err = a.Catalog.Observe(ctx, server.UUID, "recheck", seen)
	return vanished, err
}

// endExcluded ends the files that the server's changed settings exclude, and returns the
// others.
func (a *Activities) endExcluded(ctx context.Context, source Source, files []ingest.File) (left []ingest.File, ended int64, err error) {
	includes, err := source.Includes(ctx)
	if err != nil {
		return nil, 0, err
	}
	for _, file := range files {
		if includes(file.RemotePath) {
			left = append(left, file)
			continue
		}
		if err := a.Ledger.Apply(ctx, ingest.ExcludedBySettings(file)); err != nil {
			return nil, ended, err
		}
		ended++
	}
	return left, ended, nil
}

// endExcludedAged runs endExcluded for all settling files of a server whose rules make
// files ready without another stat.
func (a *Activities) endExcludedAged(ctx context.Context, source Source, server ingest.Server) error {
	if server.MinAge == 0 && server.SidecarWait == 0 {
		return nil
	}
	for after := int64(0); ; {
		files, err := a.Catalog.Settling(ctx, server.UUID, after, recheckPage)
		if err != nil || len(files) == 0 {
			return err
		}
		after = files[len(files)-1].ID
		if _, _, err := a.endExcluded(ctx, source, files); err != nil {
			return err
		}
	}
}

// companionFinder finds the companions of files, which a stat of the file does not show.
// It stats each shared companion once.
type companionFinder struct {
	source Source
	server ingest.Server
	seen   map[string]ingest.Companion
}

// find adds the done-marker and checksum file of the file to now, and its WaitsFor.
func (l *companionFinder) find(ctx context.Context, file ingest.File, now *ingest.Observation) (err error) {
	if now.Rejected != "" {
		return nil
	}
	if marker := l.server.MarkerOf(file.RemotePath); marker != "" {
		if now.Marker, err = l.stat(ctx, marker); err != nil {
			return err
		}
	}
	now.WaitsFor = l.server.WaitsForSize(now.Size)
	if wanted := l.server.WaitsForMarker(file.RemotePath, now.ModTime, now.Marker); wanted != "" {
		now.WaitsFor = wanted
	}
	var candidates []string
	if file.Sidecar.Path != "" {
		candidates = append(candidates, file.Sidecar.Path)
	}
	if l.server.SidecarWait > 0 && (file.Sidecar.Path == "" || file.SidecarStale) {
		candidates = append(candidates, ingest.CommonChecksumFiles(file.RemotePath)...)
	}
	for _, candidate := range candidates {
		found, err := l.stat(ctx, candidate)
		if err != nil {
			return err
		}
		better := now.Sidecar.Path == "" || now.Sidecar.OlderThan(now.ModTime) && !found.OlderThan(now.ModTime)
		if found.Path != "" && better {
			now.Sidecar = found
		}
	}
	return nil
}

// stat returns the companion at the path; the zero value if there is none.
func (l *companionFinder) stat(ctx context.Context, path string) (ingest.Companion, error) {
	if found, known := l.seen[path]; known {
		return found, nil
	}
	seen, err := l.source.Stat(ctx, path)
	switch {
	case ingest.IsKind(err, ingest.KindNotFound):
	case err != nil:
		return ingest.Companion{}, err
	case seen.Rejected == "":
		l.seen[path] = ingest.Companion{Path: path, Size: seen.Size, ModTime: seen.ModTime}
		return l.seen[path], nil
	}
	l.seen[path] = ingest.Companion{}
	return ingest.Companion{}, nil
}

func (a *Activities) markVanished(ctx context.Context, file ingest.File) error {
	return a.Ledger.Apply(ctx, ingest.VanishedWhileSettling(file))
}
