package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

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

func (a *app) scanListCommand() *cobra.Command {
	var server string
	var limit int
	var between timeRange
	cmd := &cobra.Command{
		Use: "list", Short: "List scans of servers, the latest first", Args: none,
		Long: `Lists what scans found on each server and who requested them. "stevedore scan
show ID" shows what was skipped and why.`,
		Example: "  stevedore scan list --server acme --from 24h",
		RunE: a.calling(func(ctx context.Context, api *client.API, _ []string) error {
			scans := latestOf(between, a.now(), limit, func(limit int) iter.Seq2[openapi.Listing, error] {
				return api.ListScans(ctx, openapi.ListScansParams{Server: given(server)}, limit)
			}, func(l openapi.Listing) time.Time { return l.StartedAt })
			return printAll(a, scans, "no scans match: start one with `stevedore scan`", a.listingCells)
		}),
	}
	a.addServer(cmd, &server, "scans")
	between.register(cmd, "scans started")
	addLimit(cmd, &limit, "scans", 20)
	return cmd
}

func (a *app) listingCells(l openapi.Listing) []cell {
	return []cell{
		{"ID", fmt.Sprint(l.ID)}, {"SERVER", safe(ingest.ServerLabel(l.Server, l.ServerRemoved))}, {"STARTED", a.when(l.StartedAt)}, {"BY", dash(requester(l))}, {"SEEN", fmt.Sprint(l.Seen)},
		{"NEW", fmt.Sprint(l.New)}, {"SETTLING", fmt.Sprint(l.Settling)}, {"EXCLUDED", fmt.Sprint(l.Excluded)}, {"RESULT", a.result(string(l.State), l.Server, l.Error)},
	}
}

// result returns the state of a scan of a server with the cause of a failure.
func (a *app) result(state, server string, failure *string) string {
	return strings.Join(nonEmpty(state, safe(a.cause(server, value(failure)))), ": ")
}

// requester returns the name of the token that requested a scan, or else its source.
func requester(l openapi.Listing) string { return cmp.Or(value(l.RequestedBy), value(l.Source)) }

func (a *app) scanShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show UUID|ID|latest", Short: "Show what a scan found on each server",
		Long: `Shows for each server of a scan who requested it, how many entries it listed,
which of them were new, settle, or were skipped and why, and why a listing failed.
An id of "stevedore scan list" shows one server; "latest" shows the latest scan of
each server.`,
		Example: "  stevedore scan show latest\n  stevedore scan show 2f1c0a52-6c0e-4a56-9d0f-0a3c6c6f2f5e",
		Args:    arguments(1, 1, "scan uuid, id or latest"),
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			result, err := findScan(ctx, api, args[0])
			if err != nil {
				return err
			}
			return a.show(result, func(t *table) { a.rowsOfListings(t, result) })
		}),
	}
	return a.completeArgs(cmd, scans)
}

// maxListings bounds the listings that are searched for the listings of a scan.
const maxListings = 5000

// findScan returns the scan with the uuid, the scan of a server with the id, or the
// latest scan of each server.
func findScan(ctx context.Context, api *client.API, name string) (result scanShowResult, err error) {
	result.Listings = []openapi.Listing{}
	if id, err := strconv.ParseInt(name, 10, 64); err == nil {
		listing, err := api.GetServerScan(ctx, id)
		if errors.Is(err, ingest.ErrNotFound) {
			err = ingest.Wrap(ingest.KindMissing, ingest.ErrNotFound, "no scan has the id %d: `stevedore scan list` lists all scans", id)
		}
		result.Listings = append(result.Listings, listing)
		return result, err
	}
	wanted := map[string]bool{}
	if name == latest {
		list, err := api.ListServers(ctx)
		if err != nil {
			return result, err
		}
		for _, server := range list.Servers {
			wanted[server.ServerUUID] = true
		}
	} else {
		scan, err := api.GetScan(ctx, name)
		switch {
		case ingest.IsKind(err, ingest.KindInvalid):
			return result, usageErrorf("scan %q: use a whole uuid, an id of `stevedore scan list`, or latest", name)
		case err != nil:
			return result, err
		}
		result.Scan = &scan
		for _, server := range scan.Servers {
			wanted[server.ServerUUID] = true
		}
	}
	for listing, err := range api.ListScans(ctx, openapi.ListScansParams{}, maxListings) {
		if err != nil {
			return result, err
		}
		if len(wanted) == 0 || result.Scan != nil && listing.StartedAt.Before(result.Scan.StartedAt) {
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
				t.prose("failed", server.Server+": "+*server.Error)
			}
			if server.Waits != nil {
				t.prose("waits", server.Server+": "+*server.Waits)
			}
		}
		t.text("")
	}
	if len(r.Listings) == 0 {
		t.text("no server has been listed yet")
		return
	}
	t.wraps = true
	for _, l := range r.Listings {
		t.cells(a.listingCells(l)...)
	}
	t.text("")
	t.begin()
	for _, l := range r.Listings {
		rowsOfNotes(t, safe(l.Server), l.Notes, l.Unreadable)
	}
}
