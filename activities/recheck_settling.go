package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// RecheckSettlingInput names the server whose settling files are looked at again.
type RecheckSettlingInput struct {
	ServerUUID string `json:"server_uuid"`
}

// RecheckSettlingResult counts what became of them.
type RecheckSettlingResult struct {
	Ready    int64 `json:"ready"`
	Settling int64 `json:"settling"`
	Vanished int64 `json:"vanished"`

	// Paused says that the server is switched off or removed and was not logged
	// in to; then it is all there is.
	Paused bool `json:"paused,omitempty"`
}

// recheckPage is how many settling files are read from the database at once.
const recheckPage = 500

// RecheckSettling stats only the files that settle and makes those ready whose
// size and time have stayed the same. A server that refuses is suspended.
func (a *Activities) RecheckSettling(ctx context.Context, in RecheckSettlingInput) (RecheckSettlingResult, error) {
	server, halt, err := a.asked(ctx, in.ServerUUID)
	if err != nil || halt.Paused {
		return RecheckSettlingResult{Paused: halt.Paused}, applicationError(err)
	}
	var result RecheckSettlingResult
	err = unlessRefused(ctx, nil, func() (err error) {
		result, err = a.recheck(ctx, server)
		return err
	})
	if kind := ingest.KindOf(err); kind.ServerLevel() && kind != ingest.KindSuspended {
		if suspendErr := a.Catalog.SuspendServer(ctx, server.UUID, message(err)); suspendErr != nil {
			err = suspendErr
		}
	}
	return result, handOver(err)
}

func (a *Activities) recheck(ctx context.Context, server ingest.Server) (r RecheckSettlingResult, err error) {
	ctx, motion := a.watchAs(ctx, watched{Silence: silence(server), Yields: true, Sparse: true})
	defer func() { err = motion.stop(err) }()
	source, err := a.open(ctx, server)
	if err != nil {
		return r, err
	}
	defer func() { _ = source.Close() }()
	source.OnAnswer(motion.moved)
	for after, looked := int64(0), int64(0); ; {
		files, err := a.Catalog.Settling(ctx, server.UUID, after, recheckPage)
		if err != nil {
			return r, err
		}
		if len(files) == 0 {
			break
		}
		after, looked = files[len(files)-1].ID, looked+int64(len(files))
		vanished, err := a.lookAgain(ctx, server, source, files)
		if err != nil {
			return r, err
		}
		r.Vanished += vanished
		motion.report(looked)
	}
	r.Ready, r.Settling, err = a.Catalog.Promote(ctx, server)
	return r, err
}

// lookAgain stats one page of files and records what it sees.
func (a *Activities) lookAgain(ctx context.Context, server ingest.Server, source Source, files []ingest.File) (vanished int64, err error) {
	seen := make([]ingest.Observation, 0, len(files))
	for _, file := range files {
		now, err := source.Stat(ctx, file.RemotePath)
		switch {
		case ingest.IsKind(err, ingest.KindNotFound):
			if err := a.vanish(ctx, file); err != nil {
				return vanished, err
			}
			vanished++
		case err != nil:
			return vanished, err
		default:
			if err := neighbours(ctx, server, source, file, &now); err != nil {
				return vanished, err
			}
			seen = append(seen, now)
		}
	}
	_, err = a.Catalog.Observe(ctx, server.UUID, "recheck", seen)
	return vanished, err
}

// neighbours looks for the files beside one that a stat of it does not show:
// the done-marker and the checksum file that it waits for.
func neighbours(ctx context.Context, server ingest.Server, source Source, file ingest.File, now *ingest.Observation) error {
	now.Sidecar = file.Sidecar
	if marker := server.MarkerOf(file.RemotePath); marker != "" {
		there, err := exists(ctx, source, marker)
		if err != nil {
			return err
		}
		if !there {
			now.WaitsFor = ingest.MissingMarker(marker)
		}
	}
	if now.Sidecar == "" && server.SidecarWait > 0 {
		late := file.RemotePath + ".sha256"
		there, err := exists(ctx, source, late)
		if err != nil {
			return err
		}
		if there {
			now.Sidecar = late
		}
	}
	return nil
}

func exists(ctx context.Context, source Source, path string) (bool, error) {
	seen, err := source.Stat(ctx, path)
	if ingest.IsKind(err, ingest.KindNotFound) {
		return false, nil
	}
	return seen.Rejected == "", err
}

func (a *Activities) vanish(ctx context.Context, file ingest.File) error {
	return a.Ledger.Apply(ctx, ingest.VanishedWhileSettling(file))
}
