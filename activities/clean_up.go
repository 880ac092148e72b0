package activities

import (
	"cmp"
	"context"
	"path"
	"time"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

const (
	// defaultLeftRetry is the default of Deps.LeftRetry.
	defaultLeftRetry = time.Hour
	// leftPage bounds the sources that one listing retries.
	leftPage = 100
	// cleanUpBudget bounds the time that a listing spends on clean-up; tryBudget does
	// so within a workflow task.
	cleanUpBudget = time.Minute
	tryBudget     = time.Second
)

// leftRetry returns the delay before a listing retries a left source or companion. It is
// also the age at which a checksum file without a file is recorded as rejected, or follows
// its file if their relation cannot be verified.
func (a *Activities) leftRetry() time.Duration { return cmp.Or(a.LeftRetry, defaultLeftRetry) }

// cleanUp continues unfinished work in the session of a complete listing: files that never
// settled, sources that could not be deleted or moved, and companions of such sources. A
// failure does not fail the listing; a later one retries.
func (a *Activities) cleanUp(ctx context.Context, source Source, server ingest.Server, l *listing) {
	budget := cleanUpBudget
	if activity.GetInfo(ctx).IsLocalActivity {
		budget = tryBudget
	}
	within, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	err := a.endUnsettled(within, source, server, l)
	if err == nil {
		err = a.cleanCompanions(within, source, server, l)
	}
	if err == nil {
		err = a.retrySources(within, source, server)
	}
	if err != nil && ctx.Err() == nil {
		a.Log.WarnContext(ctx, "cannot clean up on a server", "server", server.Name, "error", err)
	}
}

// endUnsettled ends files that never settled and are gone from the server, so that they
// need no attention. It stats each file, because the listing may have excluded it by
// changed patterns.
func (a *Activities) endUnsettled(ctx context.Context, source Source, server ingest.Server, l *listing) error {
	for after := int64(0); ; {
		files, err := a.Catalog.Unsettled(ctx, server.UUID, time.Since(l.began), after, leftPage)
		if err != nil || len(files) == 0 {
			return err
		}
		for _, file := range files {
			after = file.ID
			_, err := source.Stat(ctx, file.RemotePath)
			switch kind := ingest.KindOf(err); {
			case err == nil, kind.Permanent() && kind != ingest.KindNotFound:
			case kind != ingest.KindNotFound:
				return err
			default:
				if err := a.markVanished(ctx, file); err != nil {
					return err
				}
			}
		}
	}
}

// retrySources retries the after-ingest action on sources that are left.
func (a *Activities) retrySources(ctx context.Context, source Source, server ingest.Server) error {
	if server.AfterIngest == ingest.AfterKeep {
		return nil
	}
	files, err := a.Catalog.SourcesLeft(ctx, server.UUID, a.leftRetry(), leftPage)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !afterActionDue(server, file) {
			continue
		}
		err := a.runAfterAction(ctx, source, server, file)
		switch {
		case err == nil:
		case !ingest.KindOf(err).Permanent() && ctx.Err() != nil:
			return err
		default:
			if err := a.apply(ctx, file, ingest.SourceLeft(file, ingest.Message(err))); err != nil {
				return err
			}
			// The action may have ended the connection. The next listing tries the others first.
			if _, lost := source.Stat(ctx, file.RemotePath); ingest.IsKind(lost, ingest.KindTransient) {
				return lost
			}
		}
	}
	return nil
}

// cleanCompanions handles the listed companions without a file.
func (a *Activities) cleanCompanions(ctx context.Context, source Source, server ingest.Server, l *listing) error {
	if l.alone == 0 {
		return nil
	}
	due, err := a.Catalog.CompanionsDue(ctx, server.UUID, l.key, a.leftRetry())
	if err != nil || len(due) == 0 {
		return err
	}
	uses, err := a.Catalog.FilesOfCompanions(ctx, server.UUID, due)
	if err != nil {
		return err
	}
	var rejected []ingest.Observation
	for i, one := range due {
		switch {
		case !uses[i].Known && one.For >= a.leftRetry():
			one.Rejected = "its file does not exist, so it is not ingested. To ingest such files, include their suffix (--include '**/*" +
				ingest.DisplayPath(path.Ext(one.Path)) + "')"
			rejected = append(rejected, one.Observation)
		case uses[i].Taken != "" && uses[i].Open == 0:
			if err := a.cleanCompanion(ctx, source, server, one, uses[i]); err != nil {
				return err
			}
		}
	}
	if len(rejected) == 0 {
		return nil
	}
	counts, err := a.Catalog.Observe(ctx, server.UUID, "schedule", rejected)
	l.Rejected += counts.Rejected
	return err
}

// cleanCompanion applies the file's action to a companion that certainly belongs to the
// ingested version: others may belong to a delivery in progress.
func (a *Activities) cleanCompanion(ctx context.Context, source Source, server ingest.Server, one ingest.OrphanCompanion, uses ingest.CompanionUse) error {
	if server.AfterIngest == ingest.AfterKeep || server.Companions == ingest.CompanionsStay {
		return nil
	}
	file, err := a.Ledger.File(ctx, uses.Taken)
	if err != nil || !afterActionDue(server, file) {
		return err
	}
	if !uses.Recorded {
		if certain, err := a.describesFile(ctx, source, server, one, file); err != nil || !certain {
			return err
		}
	}
	unchanged := func() error {
		if one.Of != "" {
			if _, err := source.Stat(ctx, one.Of); ingest.KindOf(err) != ingest.KindNotFound || err == nil {
				return ingest.Errorf(ingest.KindChanged, "%s exists again", ingest.DisplayPath(one.Of))
			}
		}
		now, err := source.Stat(ctx, one.Path)
		if err == nil && (now.Rejected != "" || now.Size != one.Size || now.ModTime.Unix() != one.ModTime.Unix()) {
			err = ingest.Errorf(ingest.KindChanged, "%s is another version", ingest.DisplayPath(one.Path))
		}
		return err
	}
	t := afterAction{moves: a.Ledger, source: source, server: server, file: file, details: map[string]any{}}
	err = t.removeOrMove(ctx, ingest.Companion{Path: one.Path, Size: one.Size, ModTime: one.ModTime}, false, unchanged)
	switch kind := ingest.KindOf(err); {
	case err == nil:
		a.Log.InfoContext(ctx, "deleted or moved a companion after its file", "server", server.Name, "path", ingest.DisplayPath(one.Path), "file", file.UUID)
		return nil
	case kind == ingest.KindNotFound, kind == ingest.KindChanged, !kind.Permanent():
		return nil
	}
	return a.apply(ctx, file, ingest.SourceLeft(file, ingest.Message(err)))
}

// describesFile reports whether a companion that appeared or changed after its file was
// ingested belongs to that file. A done-marker does. A checksum file does if its digest
// is the file's, or if it uses another algorithm and is older than leftRetry.
func (a *Activities) describesFile(ctx context.Context, source Source, server ingest.Server, one ingest.OrphanCompanion, file ingest.File) (bool, error) {
	if server.IsMarker(path.Base(one.Path)) {
		return true, nil
	}
	text, _, err := a.readSidecar(ctx, source, server, one.Path, false)
	if err != nil {
		if ingest.KindOf(err).Permanent() {
			err = nil
		}
		return false, err
	}
	want, why := findChecksum(one.Path, text, file.RemotePath)
	switch {
	case why != "":
		return false, nil
	case want.algo == file.HashAlgo:
		return want.digest == file.Hash, nil
	default:
		return one.For >= a.leftRetry(), nil
	}
}
