package activities

import (
	"context"
	"io"

	"stevedore/internal/ingest"
)

// StatFile is a remote file with a stat of the open file, which may differ from the
// earlier stat of its path.
type StatFile interface {
	// Opened returns the stat made at opening; ok is false if the server does not
	// support it.
	Opened() (seen ingest.Observation, ok bool)
	// Restat stats the open file again.
	Restat(ctx context.Context) (seen ingest.Observation, ok bool, err error)
}

// openVersion opens the file and checks that the open file is the version in the ledger:
// it may have been replaced between the stat of the path and the opening. If the path still
// shows the version, the server's stat of open files differs from that of paths.
func openVersion(ctx context.Context, source Source, file ingest.File) (RemoteFile, error) {
	remote, err := source.OpenFile(ctx, file.RemotePath)
	if err != nil {
		return nil, err
	}
	replaced := checkOpened(remote, file)
	if replaced == nil {
		return remote, nil
	}
	if err := checkVersion(ctx, source, file); err != nil {
		_ = remote.Close()
		return nil, replaced
	}
	return remote, nil
}

func checkOpened(remote io.ReaderAt, file ingest.File) error {
	remoteStat, can := remote.(StatFile)
	if !can {
		return nil
	}
	seen, ok := remoteStat.Opened()
	if !ok {
		return nil
	}
	if seen.ModTime.Unix() == 0 { // the server has no time for open files
		seen.ModTime = file.ModTime
	}
	return ingest.Wrap(ingest.KindChanged, compareVersion(seen, file), "%s was replaced on the server while it was opened",
		ingest.DisplayPath(file.RemotePath))
}

// openTime returns the modification time of the open file in Unix seconds, if the
// server's identity rule ignores times; otherwise, or if it is unknown, 0. A resumed
// transfer compares it to detect a replaced file.
func openTime(remote RemoteFile, file ingest.File) int64 {
	if f, bounded := remote.(*boundedFile); bounded {
		remote = f.RemoteFile
	}
	f, can := remote.(StatFile)
	if !can || !file.Timeless() {
		return 0
	}
	if seen, ok := f.Opened(); ok {
		return seen.ModTime.Unix()
	}
	return 0
}

// statOpen stats the open file; ok is false if the server does not support it.
func statOpen(ctx context.Context, remote RemoteFile) (seen ingest.Observation, ok bool, err error) {
	if f, bounded := remote.(*boundedFile); bounded {
		remote = f.RemoteFile
	}
	if f, can := remote.(StatFile); can {
		return f.Restat(ctx)
	}
	return seen, false, nil
}
