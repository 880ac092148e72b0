package activities

import (
	"context"
	"path"

	"stevedore/internal/ingest"
)

// companions does to the done-marker and the checksum file what was done to their
// file. Those that several files share stay for the others, and so does what is not
// as it was when the file was taken: it may be of the next version. What the server
// refuses is noted, and no failure of the file's own action. renamed says that the file
// was given another name where it was moved.
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
			t.left = message(err)
		}
	}
	return nil
}

// companion deletes or moves one companion that is still the version on record, as
// long as its file is not there again.
func (t *afterAction) companion(ctx context.Context, companion ingest.Companion, renamed bool) error {
	unchanged := func() error {
		_, err := t.source.Stat(ctx, t.file.RemotePath)
		if err == nil {
			return ingest.Errorf(ingest.KindChanged, "%s is there again", ingest.DisplayPath(t.file.RemotePath))
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
	err := t.removeOrMove(ctx, companion.Path, renamed, unchanged)
	if kind := ingest.KindOf(err); err != nil && (kind == ingest.KindNotFound || kind == ingest.KindChanged) {
		return nil
	}
	return err
}

// take deletes or moves a file beside the source.
func (t *afterAction) removeOrMove(ctx context.Context, file string, renamed bool, unchanged func() error) error {
	dir, move := t.server.AfterIngest.MoveTo()
	if !move {
		if err := unchanged(); err != nil {
			return err
		}
		return t.source.Remove(ctx, file)
	}
	if renamed { // they stay together
		if err := unchanged(); err != nil {
			return err
		}
		return t.source.Rename(ctx, file, path.Join(dir, ingest.NameBeside(t.file.UUID, path.Base(t.file.RemotePath), path.Base(file))))
	}
	to, err := t.moveAway(ctx, file, dir, unchanged)
	if err == nil && to == "" {
		t.left = "the name of its companion " + ingest.DisplayPath(path.Base(file)) + " is taken in " + ingest.DisplayPath(dir)
	}
	return err
}
