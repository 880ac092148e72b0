package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// position is the progress of a listing, from which the next attempt resumes. It is
// part of the heartbeats. Folders are visited in the order of their names, so one name
// is sufficient.
type position struct {
	// Folder is the folder being read, below the root, as the server named it.
	Folder []byte `json:"folder,omitempty"`
	// Tries is the number of consecutive attempts that ended in it.
	Tries int `json:"tries,omitempty"`
	// Counts of the folders before it: entries, ignored ones, and those with unusual
	// times. New and Rejected include recorded entries of this folder, which are known
	// when it is read again.
	Seen       int64 `json:"seen,omitempty"`
	New        int64 `json:"new,omitempty"`
	Same       int64 `json:"same,omitempty"`
	Rejected   int64 `json:"rejected,omitempty"`
	InProgress int64 `json:"in_progress,omitempty"`
	Alone      int64 `json:"alone,omitempty"`
	NoTime     int64 `json:"no_time,omitempty"`
	Future     int64 `json:"future,omitempty"`
	// Unread are the folders that could not be read, Doubtful those that may be
	// incomplete.
	Unread   ingest.Unread `json:"unread,omitzero"`
	Doubtful ingest.Unread `json:"doubtful,omitzero"`
}

const (
	// folderTries is the number of attempts that may end in a folder before it is
	// skipped.
	folderTries = 3
	// crashesToSuspend is the number of consecutive workers that may crash in the same
	// folder before the server is suspended.
	crashesToSuspend = 2
)

// skippedFolder is the reason for which a folder is not read.
const skippedFolder = "skipped: the connection was lost in each of 3 attempts to read it"

// lastPosition returns the position of the previous attempt; nil for the first attempt.
func lastPosition(ctx context.Context) *position {
	var last Progress
	if !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &last) != nil {
		return nil
	}
	return last.Position
}

// crashLoop returns an error that suspends the server if its listing repeatedly crashed
// workers in the same folder. More workers would crash.
func (a *Activities) crashLoop(ctx context.Context, server ingest.Server, scanID int64, from *position) error {
	if from == nil || from.Tries < crashesToSuspend {
		return nil
	}
	deaths, err := a.Catalog.ScanCrashes(ctx, scanID)
	if err != nil || deaths < crashesToSuspend {
		return err
	}
	return ingest.Errorf(ingest.KindServer,
		"server %s: its listing crashed the worker %d times in a row, in folder %s; check the workers' logs and memory, exclude the folder, then run `stevedore server test %s`",
		server.Name, deaths, ingest.DisplayPath("/"+string(from.Folder)), server.Name)
}

// positionTracker tracks the position of a running listing for the next attempt.
type positionTracker struct {
	watchdog *watchdog
	from     position
	// now is the current position. It is published once the batch before it is
	// recorded.
	now position
}

func newPositionTracker(w *watchdog, from *position) *positionTracker {
	t := &positionTracker{watchdog: w}
	if from != nil {
		t.from = *from
	}
	return t
}

// request returns the request that resumes the listing.
func (t *positionTracker) request() ingest.ListRequest {
	r := ingest.ListRequest{From: string(t.from.Folder), Doubtful: t.from.Doubtful}
	if t.from.Tries >= folderTries {
		r.GiveUp = skippedFolder
	}
	return r
}

// entered records the folder being read. written: everything before it is recorded.
func (t *positionTracker) entered(folder string, counted position, written bool) {
	tries := 1
	if folder == string(t.from.Folder) {
		tries += t.from.Tries
	}
	first := t.now.Tries == 0
	t.now = counted
	t.now.Folder, t.now.Tries = []byte(folder), tries
	if !first {
		t.watchdog.markProgress()
	}
	if written || first {
		t.publish()
	}
	if first {
		t.watchdog.heartbeatNow()
	}
}

// publish passes the position to the next attempt by the heartbeats.
func (t *positionTracker) publish() {
	now := t.now
	t.watchdog.position.Store(&now)
}

// uncountTry reverts the count of the current attempt: it did not fail because of the
// folder.
func (t *positionTracker) uncountTry() {
	if last := t.watchdog.position.Load(); last != nil && t.now.Tries > 0 {
		now := *last
		now.Tries = max(now.Tries-1, 0)
		t.watchdog.position.Store(&now)
	}
}
