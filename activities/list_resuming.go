package activities

import (
	"cmp"
	"context"
	"time"

	"stevedore/internal/ingest"
)

// maxSkippedFolders bounds the folders that one attempt skips because they end the
// connection. Each costs folderTries logins.
const maxSkippedFolders = 20

// listResuming lists the server, over another connection each time one is lost, as long as
// that gets further: to another folder, or to the end of the tries of a folder, which is
// then skipped. So a folder that always ends the connection does not hide the others.
func (a *Activities) listResuming(ctx context.Context, server ingest.Server, in ListServerFilesInput, scanID int64, from *position) (l listing, err error) {
	for skipped := 0; ; {
		attempt, err := a.recounted(ctx, in, scanID)
		if err != nil {
			return newListing(server, attempt, from), err
		}
		l, err := a.list(ctx, server, attempt, from)
		at := l.lostAt
		if at == nil || len(at.Folder) == 0 { // the root folder is never skipped
			return l, err
		}
		if at.Tries == folderTries {
			skipped++
		}
		if skipped > maxSkippedFolders {
			return l, err
		}
		a.Log.InfoContext(ctx, "the connection was lost during a listing: resumed", "server", server.Name,
			"folder", ingest.DisplayPath("/"+string(at.Folder)), "try", at.Tries, "error", err)
		if !pause(ctx, time.Duration(at.Tries)*cmp.Or(a.ResumePause, time.Second)) {
			return l, err
		}
		from = at
	}
}

// pause waits, and reports whether the context is still alive.
func pause(ctx context.Context, wait time.Duration) bool {
	select {
	case <-time.After(wait):
		return true
	case <-ctx.Done():
		return false
	}
}
