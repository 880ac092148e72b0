package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// scanShowResult is a scan with the listings of its servers as JSON.
type scanShowResult struct {
	// Scan is null for the latest listings.
	Scan     *openapi.Scan     `json:"scan"`
	Listings []openapi.Listing `json:"listings"`
}

func (a *app) scanShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show UUID|latest", Short: "Show what a scan found on each server",
		Long: `Shows for each server of a scan how many entries it listed, which of them were
new, settle or were skipped, and why a listing failed. "latest" shows the latest
listing of each server.`,
		Example: "  stevedore scan show latest\n  stevedore scan show 2f1c0a52-6c0e-4a56-9d0f-0a3c6c6f2f5e",
		Args:    exactly("scan uuid, or latest,"),
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			result, err := findScan(ctx, api, args[0])
			if err != nil {
				return err
			}
			return a.show(result, func(t *table) { a.rowsOfListings(t, result) })
		}),
	}
	return a.completeArgs(cmd, func(_ context.Context, _ *client.API, _ string, add func(string, string)) error {
		add(latest, "the latest listing of each server")
		return nil
	})
}

// maxListings bounds the listings that are searched for those of a scan.
const maxListings = 5000

func findScan(ctx context.Context, api *client.API, uuidOrLatest string) (scanShowResult, error) {
	result := scanShowResult{Listings: []openapi.Listing{}}
	wanted := map[string]bool{}
	if uuidOrLatest == latest {
		servers, err := api.ListServers(ctx)
		if err != nil {
			return result, err
		}
		for _, server := range servers {
			wanted[server.ServerUUID] = true
		}
	} else {
		scan, err := api.Scan(ctx, uuidOrLatest)
		switch {
		case ingest.IsKind(err, ingest.KindInvalid):
			return result, usageError{err}
		case err != nil:
			return result, err
		}
		result.Scan = &scan
		for _, server := range scan.Servers {
			wanted[server.ServerUUID] = true
		}
	}
	searched := 0
	for listing, err := range api.Listings(ctx) {
		if err != nil {
			return result, err
		}
		searched++
		before := result.Scan != nil && listing.StartedAt.Before(result.Scan.StartedAt)
		if len(wanted) == 0 || before || searched > maxListings {
			break
		}
		if wanted[listing.ServerUUID] {
			delete(wanted, listing.ServerUUID)
			result.Listings = append(result.Listings, listing)
		}
	}
	slices.SortFunc(result.Listings, func(a, b openapi.Listing) int { return cmp.Compare(a.Server, b.Server) })
	return result, nil
}

func (a *app) rowsOfListings(t *table, r scanShowResult) {
	if s := r.Scan; s != nil {
		t.row("scan", s.ScanUUID)
		t.row("state", string(s.State))
		t.row("started", clock(s.StartedAt))
		for _, server := range s.Servers {
			if server.Error != nil {
				t.row("failed", safe(server.Server)+": "+safe(*server.Error))
			}
			if server.Waits != nil {
				t.row("waits", safe(server.Server)+": "+safe(*server.Waits))
			}
		}
		t.text("")
	}
	if len(r.Listings) == 0 {
		t.text("no server has been listed yet")
		return
	}
	t.columns("SERVER", "STARTED", "SEEN", "NEW", "SETTLING", "SKIPPED", "REJECTED", "RESULT")
	for _, l := range r.Listings {
		result := "ok"
		switch {
		case l.Error != nil:
			result = "FAILED: " + safe(a.cause(l.Server, *l.Error))
		case l.FinishedAt == nil:
			result = "running"
		}
		t.row(safe(l.Server), a.when(l.StartedAt), fmt.Sprint(l.Seen), fmt.Sprint(l.New), fmt.Sprint(l.Settling), fmt.Sprint(l.InProgress+l.Alone), fmt.Sprint(l.Rejected), result)
	}
	t.text("")
	t.columns()
	for _, l := range r.Listings {
		note := func(n int64, one, several string) {
			if n > 0 {
				t.row(safe(l.Server), ingest.Counted(n, one, several))
			}
		}
		note(l.InProgress, "file in progress is skipped", "files in progress are skipped")
		note(l.Alone, "done-marker or checksum file without a file is skipped", "done-markers and checksum files without a file are skipped")
		note(l.Rejected, "entry with an unsafe name or kind is rejected", "entries with unsafe names or kinds are rejected")
		note(l.Errors, "folder could not be read", "folders could not be read")
		for _, folder := range l.Unreadable[:min(len(l.Unreadable), shownUnreadable)] {
			t.row(safe(l.Server), safe(folder.Path+" "+folder.Reason))
		}
		if l.Note != nil {
			t.row(safe(l.Server), safe(*l.Note))
		}
	}
}
