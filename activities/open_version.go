package activities

import (
	"context"
	"time"

	"stevedore/internal/ingest"
)

// openVersion opens the file and checks that the open file is the version in the ledger:
// it may have been replaced between the stat of the path and the opening.
func openVersion(ctx context.Context, source Source, file ingest.File) (RemoteFile, error) {
	remote, err := source.OpenFile(ctx, file.RemotePath)
	if err != nil {
		return nil, err
	}
	if err := checkOpened(ctx, source, remote, file); err != nil {
		_ = remote.Close()
		return nil, err
	}
	return remote, nil
}

func checkOpened(ctx context.Context, source Source, remote RemoteFile, file ingest.File) error {
	seen, ok := remote.Opened()
	if !ok {
		return nil
	}
	untimed := seen.ModTime.Unix() == 0 || file.ModTime.Unix() == 0 // one of the replies has no time
	if untimed || inAnotherZone(seen.ModTime, file.ModTime) && checkVersion(ctx, source, file) == nil {
		seen.ModTime = file.ModTime
	}
	return ingest.Wrap(ingest.KindChanged, compareVersion(seen, file), "%s was replaced on the server while it was opened",
		ingest.DisplayPath(file.RemotePath))
}

// inAnotherZone reports whether two times differ as those of one file do if a server shows
// paths and open files in different time zones.
func inAnotherZone(a, b time.Time) bool {
	const minute = 60
	shift := max(a.Unix()-b.Unix(), b.Unix()-a.Unix())
	return shift > 0 && shift <= 26*60*minute && shift%(15*minute) == 0
}

// openTime returns the modification time of the open file in Unix seconds, if the
// server's identity rule ignores times; otherwise 0. A resumed transfer compares it to
// detect a replaced file.
func openTime(remote RemoteFile, file ingest.File) int64 {
	if !file.Timeless() {
		return 0
	}
	if seen, ok := remote.Opened(); ok && seen.ModTime.Unix() != 0 {
		return seen.ModTime.Unix()
	}
	return ingest.OpenTimeUnknown
}
