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
	// defaultLeftRetry is Deps.LeftRetry when not set.
	defaultLeftRetry = time.Hour
	// leftAtOnce bounds the sources that one listing tries.
	leftPage = 100
	// tidyBudget is the time that a listing spends so; tryBudget within a workflow task.
	cleanUpBudget = time.Minute
	tryBudget     = time.Second
)

// leftRetry is how long something that is left is left alone before a listing tries
// it again. A checksum file without a file has been there for as long before it is
// shown as rejected, or, where its file was taken and nothing tells, follows it.
func (a *Activities) leftRetry() time.Duration { return cmp.Or(a.LeftRetry, defaultLeftRetry) }

// tidyUp looks after what earlier actions left behind, in the session of a listing
// that is through: files that never settled, sources that could not be deleted or moved, and
// companions whose file was. What fails here is tried again by a later listing, and is no failure of
// this one.
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
		a.Log.WarnContext(ctx, "cannot look after what is left on a server", "server", server.Name, "error", err)
	}
}

// tidyUnsettled ends files that never settled and are not on the server any more:
// nobody has to decide about them. That the listing does not show them is no proof, its
// patterns may have changed, so each is looked at.
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

// tidySources tries sources again that are left.
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
			if err := a.apply(ctx, file, ingest.SourceLeft(file, message(err))); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidyAlone looks after the companions without their file that the listing has shown.
func (a *Activities) cleanCompanions(ctx context.Context, source Source, server ingest.Server, l *listing) error {
	if l.alone == 0 {
		return nil
	}
	due, err := a.Catalog.CompanionsDue(ctx, server.UUID, l.key, a.leftRetry())
	if err != nil || len(due) == 0 {
		return err
	}
	spoken, err := a.Catalog.TakenWith(ctx, server.UUID, due)
	if err != nil {
		return err
	}
	var rejected []ingest.Observation
	for i, one := range due {
		switch {
		case !spoken[i].Known && one.For >= a.leftRetry():
			one.Rejected = "speaks of a file that is not there: no delivery. Include its ending by name (--include '**/*" +
				ingest.DisplayPath(path.Ext(one.Path)) + "') to take such files"
			rejected = append(rejected, one.Observation)
		case spoken[i].Taken != "" && spoken[i].Open == 0:
			if err := a.cleanCompanion(ctx, source, server, one, spoken[i]); err != nil {
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

// tidyCompanion does to a companion what was done to its file, if it is certain that
// it speaks of what was taken: another one may be of a delivery that is on its way.
func (a *Activities) cleanCompanion(ctx context.Context, source Source, server ingest.Server, one ingest.Alone, spoken ingest.Spoken) error {
	if server.AfterIngest == ingest.AfterKeep || server.Companions == ingest.CompanionsStay {
		return nil
	}
	file, err := a.Ledger.File(ctx, spoken.Taken)
	if err != nil || !afterActionDue(server, file) {
		return err
	}
	if !spoken.Recorded {
		if certain, err := a.describesFile(ctx, source, server, one, file); err != nil || !certain {
			return err
		}
	}
	unchanged := func() error {
		if one.Of != "" {
			if _, err := source.Stat(ctx, one.Of); ingest.KindOf(err) != ingest.KindNotFound || err == nil {
				return ingest.Errorf(ingest.KindChanged, "%s is there again", ingest.DisplayPath(one.Of))
			}
		}
		now, err := source.Stat(ctx, one.Path)
		if err == nil && (now.Rejected != "" || now.Size != one.Size || now.ModTime.Unix() != one.ModTime.Unix()) {
			err = ingest.Errorf(ingest.KindChanged, "%s is another version", ingest.DisplayPath(one.Path))
		}
		return err
	}
	t := afterAction{moves: a.Ledger, source: source, server: server, file: file, details: map[string]any{}}
	err = t.removeOrMove(ctx, one.Path, false, unchanged)
	switch kind := ingest.KindOf(err); {
	case err == nil:
		a.Log.InfoContext(ctx, "a companion followed its file", "server", server.Name, "path", ingest.DisplayPath(one.Path), "file", file.UUID)
		return nil
	case kind == ingest.KindNotFound, kind == ingest.KindChanged, !kind.Permanent():
		return nil
	}
	return a.apply(ctx, file, ingest.SourceLeft(file, message(err)))
}

// speaksOf reports whether a companion that came or changed after its file was taken
// speaks of that file. A done-marker does unless it is older; a checksum file does if
// its digest is the file's, or if it has waited for long and is of another algorithm.
func (a *Activities) describesFile(ctx context.Context, source Source, server ingest.Server, one ingest.Alone, file ingest.File) (bool, error) {
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
