package activities

import (
	"context"
	"io"

	"stevedore/internal/ingest"
)

// SelfTold is a remote file of which the server says what is open, which need not be
// what its path showed just before.
type SelfTold interface {
	// Opened returns that; ok is false when the server does not say.
	Opened() (seen ingest.Observation, ok bool)
	// Told asks the server again.
	Told(ctx context.Context) (seen ingest.Observation, ok bool, err error)
}

// openVersion opens the file if what is open is the version that the ledger knows:
// between the look at the path and the opening there may have come another one.
func openVersion(ctx context.Context, source Source, file ingest.File) (RemoteFile, error) {
	remote, err := source.OpenFile(ctx, file.RemotePath)
	if err != nil {
		return nil, err
	}
	if err := checkOpened(remote, file); err != nil {
		_ = remote.Close()
		return nil, err
	}
	return remote, nil
}

func checkOpened(remote io.ReaderAt, file ingest.File) error {
	told, can := remote.(SelfTold)
	if !can {
		return nil
	}
	seen, ok := told.Opened()
	if !ok {
		return nil
	}
	if seen.ModTime.Unix() == 0 { // it gives no time here
		seen.ModTime = file.ModTime
	}
	return ingest.Wrap(ingest.KindChanged, compareVersion(seen, file), "what was opened at %s is not what the path showed",
		ingest.DisplayPath(file.RemotePath))
}

// shownTime returns the time, in Unix seconds, that the open file shows where another
// time alone is no new version. Then it alone tells whether a transfer that resumes
// reads the same file. 0 is unknown.
func openTime(remote RemoteFile, file ingest.File) int64 {
	if f, bounded := remote.(*boundedFile); bounded {
		remote = f.RemoteFile
	}
	f, can := remote.(SelfTold)
	if !can || !file.Timeless() {
		return 0
	}
	if seen, ok := f.Opened(); ok {
		return seen.ModTime.Unix()
	}
	return 0
}

// told asks the server what is open; ok is false when it does not say.
func statOpen(ctx context.Context, remote RemoteFile) (seen ingest.Observation, ok bool, err error) {
	if f, bounded := remote.(*boundedFile); bounded {
		remote = f.RemoteFile
	}
	if f, can := remote.(SelfTold); can {
		return f.Told(ctx)
	}
	return seen, false, nil
}
