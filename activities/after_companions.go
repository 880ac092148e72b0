package activities

import (
	"context"
	"path"

	"stevedore/internal/ingest"
)

// companions applies the file's action to its done-marker and checksum file. It skips
// companions that other files share. It also skips companions that have changed since the
// file was ingested, because they may belong to the next version. A refusal is recorded
// and does not fail the file's own action. renamed reports whether the file got another
// name at its target.
func (t *afterAction) companions(ctx context.Context, renamed bool) error {
	if t.server.Companions == ingest.CompanionsStay {
		return nil
	}
	var own []ingest.Companion
	if t.file.Marker.Path != "" && t.server.MarkerEach() {
		own = append(own, t.file.Marker)
	}
	if sums, ok := ingest.ParseChecksumName(path.Base(t.file.Sidecar.Path)); ok && !sums.Shared() {
		own = append(own, t.file.Sidecar)
	}
	for _, companion := range own {
		if err := t.companion(ctx, companion, renamed); err != nil {
			if !ingest.KindOf(err).Permanent() {
				return err
			}
			t.left = ingest.Message(err)
		}
	}
	return nil
}

// companion deletes or moves one companion if it is still the recorded version and its
// file has not reappeared.
func (t *afterAction) companion(ctx context.Context, companion ingest.Companion, renamed bool) error {
	unchanged := func() error {
		_, err := t.source.Stat(ctx, t.file.RemotePath)
		if err == nil {
			return ingest.Errorf(ingest.KindChanged, "%s exists again", ingest.DisplayPath(t.file.RemotePath))
		}
		if ingest.KindOf(err) != ingest.KindNotFound {
			return err
		}
		now, err := t.source.Stat(ctx, companion.Path)
		if err == nil && (now.Rejected != "" || !companion.SameVersion(ingest.Companion{Path: companion.Path, Size: now.Size, ModTime: now.ModTime})) {
			err = ingest.Errorf(ingest.KindChanged, "%s is another version", ingest.DisplayPath(companion.Path))
		}
		return err
	}
	err := t.removeOrMove(ctx, companion, renamed, unchanged)
	if kind := ingest.KindOf(err); err != nil && (kind == ingest.KindNotFound || kind == ingest.KindChanged) {
		return nil
	}
	return err
}

// removeOrMove deletes or moves a companion. The error is of KindPermission if the server
// confirmed that but still has the companion.
func (t *afterAction) removeOrMove(ctx context.Context, companion ingest.Companion, renamed bool, unchanged func() error) error {
	file := companion.Path
	dir, move := t.server.AfterIngest.MoveTo()
	if move && !renamed {
		to, err := t.moveAway(ctx, file, dir, unchanged)
		if err == nil && to == "" {
			t.left = "the name of its companion " + ingest.DisplayPath(path.Base(file)) + " exists in " + ingest.DisplayPath(dir)
		}
		if err != nil || to == "" || t.inPlace {
			return err
		}
		return t.companionGone(ctx, companion)
	}
	if err := unchanged(); err != nil {
		return err
	}
	var err error
	if move { // the companion gets the same prefix
		err = t.source.Rename(ctx, file, path.Join(dir, ingest.NameBeside(t.file.UUID, path.Base(t.file.RemotePath), path.Base(file))))
	} else {
		err = t.source.Remove(ctx, file)
	}
	if err != nil && ingest.KindOf(err) != ingest.KindNotFound {
		return err
	}
	return t.companionGone(ctx, companion)
}

// companionGone returns an error if the server still has the companion.
func (t *afterAction) companionGone(ctx context.Context, companion ingest.Companion) error {
	now, err := t.source.Stat(ctx, companion.Path)
	if ingest.IsKind(err, ingest.KindNotFound) {
		return nil
	}
	if err == nil && now.Rejected == "" && companion.SameVersion(ingest.Companion{Path: companion.Path, Size: now.Size, ModTime: now.ModTime}) {
		return ingest.Errorf(ingest.KindPermission, "server %s confirmed the action %q on the companion %s but still has it: ask the partner to fix the server, or set `--companions stay`",
			t.server.Name, ingest.DisplayPath(string(t.server.AfterIngest)), ingest.DisplayPath(companion.Path))
	}
	return err
}
