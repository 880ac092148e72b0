package activities

import (
	"context"

	"go.temporal.io/sdk/activity"

	"stevedore/internal/ingest"
)

// place is how far a listing came, for the attempt that goes on. It travels in the
// heartbeats: folders are visited in the order of their names, so one name is
// enough, however many folders there are.
type position struct {
	// Folder is the one being read, below the root, as the server named it.
	Folder []byte `json:"folder,omitempty"`
	// Tries is how many attempts in a row ended in it.
	Tries int `json:"tries,omitempty"`
	// What was counted of the folders before: entries, those set aside, those with odd
	// times. New and Rejected also count what is on record of this folder, which will be
	// known when it is read again.
	Seen       int64 `json:"seen,omitempty"`
	New        int64 `json:"new,omitempty"`
	Same       int64 `json:"same,omitempty"`
	Rejected   int64 `json:"rejected,omitempty"`
	InProgress int64 `json:"in_progress,omitempty"`
	Alone      int64 `json:"alone,omitempty"`
	NoTime     int64 `json:"no_time,omitempty"`
	Future     int64 `json:"future,omitempty"`
	// Unread are the folders that could not be read, Doubtful those of which nobody
	// knows yet.
	Unread   ingest.Unread `json:"unread,omitzero"`
	Doubtful ingest.Unread `json:"doubtful,omitzero"`
}

const (
	// folderTries is after how many attempts that ended in it a folder is given up.
	folderTries = 3
	// deathsToSuspend is after how many workers that ended in the same folder in a
	// row the server is suspended.
	crashesToSuspend = 2
)

// givenUp is why a folder is not read any more.
const skippedFolder = "was given up: the connection was lost each of the 3 times that it was read"

// placeOf returns where the attempt before left off; nil for the first.
func lastPosition(ctx context.Context) *position {
	var last Progress
	if !activity.HasHeartbeatDetails(ctx) || activity.GetHeartbeatDetails(ctx, &last) != nil {
		return nil
	}
	return last.Position
}

// fatal returns why the server is suspended when the workers that listed it ended,
// again and again, in the same folder. Others would follow.
func (a *Activities) crashLoop(ctx context.Context, server ingest.Server, scanID int64, from *position) error {
	if from == nil || from.Tries < crashesToSuspend {
		return nil
	}
	deaths, err := a.Catalog.ScanDeaths(ctx, scanID)
	if err != nil || deaths < crashesToSuspend {
		return err
	}
	return ingest.Errorf(ingest.KindServer,
		"server %s: its listing ended the worker %d times in a row, in folder %s: see the workers' logs and memory, exclude the folder, then run `stevedore server test %s`",
		server.Name, deaths, ingest.DisplayPath("/"+string(from.Folder)), server.Name)
}

// journey is a listing under way as the next attempt must know it.
type positionTracker struct {
	watchdog *watchdog
	from     position
	// now is where the listing is; what lies before is on record only once the batch
	// is written, and only then now is told.
	now position
}

func newPositionTracker(m *watchdog, from *position) *positionTracker {
	j := &positionTracker{watchdog: m}
	if from != nil {
		j.from = *from
	}
	return j
}

// request says how to go on.
func (j *positionTracker) request() ingest.ListRequest {
	r := ingest.ListRequest{From: string(j.from.Folder), Doubtful: j.from.Doubtful}
	if j.from.Tries >= folderTries {
		r.GiveUp = skippedFolder
	}
	return r
}

// entered notes the folder being read. written says that all before it is on record.
func (j *positionTracker) entered(folder string, counted position, written bool) {
	tries := 1
	if folder == string(j.from.Folder) {
		tries += j.from.Tries
	}
	first := j.now.Tries == 0
	j.now = counted
	j.now.Folder, j.now.Tries = []byte(folder), tries
	if !first {
		j.watchdog.markProgress()
	}
	if written || first {
		j.publish()
	}
	if first {
		j.watchdog.heartbeatNow()
	}
}

// tell makes the place known to the next attempt.
func (j *positionTracker) publish() {
	now := j.now
	j.watchdog.position.Store(&now)
}

// unblamed takes back that the attempt ended in the folder: it was not its fault.
func (j *positionTracker) uncountTry() {
	if last := j.watchdog.position.Load(); last != nil && j.now.Tries > 0 {
		now := *last
		now.Tries = max(now.Tries-1, 0)
		j.watchdog.position.Store(&now)
	}
}
