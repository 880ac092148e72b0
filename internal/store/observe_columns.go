package store

import (
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// column returns one value of each row, as an argument for unnest.
func column[R, T any](rows []R, value func(R) T) []T {
	values := make([]T, len(rows))
	for i, row := range rows {
		values[i] = value(row)
	}
	return values
}

// versionArgs are the columns that identify versions of files.
func versionArgs(serverUUID string, entries []entry) pgx.NamedArgs {
	return pgx.NamedArgs{
		"server": serverUUID,
		"paths":  column(entries, func(e entry) []byte { return []byte(e.Path) }),
		"sizes":  column(entries, func(e entry) int64 { return e.Size }),
		"mtimes": column(entries, func(e entry) time.Time { return e.ModTime }),
	}
}

// entryArgs are all columns of entries.
func entryArgs(serverUUID string, entries []entry) pgx.NamedArgs {
	args := versionArgs(serverUUID, entries)
	maps.Copy(args, pgx.NamedArgs{
		"ids":          column(entries, func(e entry) int64 { return e.id }),
		"uuids":        column(entries, func(e entry) string { return versionUUID(serverUUID, e) }),
		"displays":     column(entries, func(e entry) string { return ingest.DisplayPath(e.Path) }),
		"filenames":    filenames(entries),
		"reasons":      column(entries, func(e entry) string { return cleanText(e.Rejected) }),
		"waits":        column(entries, func(e entry) string { return cleanText(e.WaitsFor) }),
		"changes":      column(entries, func(e entry) int { return e.changes }),
		"clocks":       column(entries, func(e entry) int { return e.clock }),
		"sinces":       column(entries, func(e entry) *time.Time { return nullIfZero(e.since) }),
		"known_ids":    column(entries, func(e entry) *int64 { return e.knownID }),
		"shifts":       column(entries, func(e entry) *int64 { return e.shift }),
		"holds":        column(entries, func(e entry) string { return string(e.hold) }),
		"moved_from":   column(entries, func(e entry) *int64 { return e.movedFrom }),
		"failed_reads": column(entries, func(e entry) int { return e.failedReads }),
		"stat_first":   column(entries, func(e entry) bool { return e.statFirst }),
		"failures":     column(entries, func(e entry) string { return e.failure }),
		"deliveries":   column(entries, func(e entry) int { return e.delivery }),
	})
	addCompanionArgs(args, "sidecar", column(entries, func(e entry) ingest.Companion { return e.Sidecar }))
	addCompanionArgs(args, "marker", column(entries, func(e entry) ingest.Companion { return e.Marker }))
	args["sidecar_stale"] = column(entries, func(e entry) bool { return e.sidecarStale })
	args["marker_stale"] = column(entries, func(e entry) bool { return e.markerStale })
	return args
}

func filenames(entries []entry) []string {
	return column(entries, func(e entry) string { return ingest.DisplayPath(baseName(e.Path)) })
}

// addCompanionArgs adds the columns of companions, null for no companion.
func addCompanionArgs(args pgx.NamedArgs, name string, companions []ingest.Companion) {
	args[name+"_paths"] = column(companions, func(c ingest.Companion) []byte { return nullIfEmpty([]byte(c.Path)) })
	args[name+"_sizes"] = column(companions, func(c ingest.Companion) *int64 {
		if c.Path == "" {
			return nil
		}
		return &c.Size
	})
	args[name+"_mtimes"] = column(companions, func(c ingest.Companion) *time.Time {
		if c.Path == "" {
			return nil
		}
		return &c.ModTime
	})
}

// versionUUID derives the file's uuid from the identity of the version and its delivery. So a
// ledger restored from an older backup assigns the same uuids, object keys and message ids.
func versionUUID(serverUUID string, e entry) string {
	name := fmt.Appendf(nil, "%d/%d/%s", e.Size, e.ModTime.Unix(), e.Path)
	if e.delivery > 0 {
		name = fmt.Appendf(name, "\x00delivery %d", e.delivery)
	}
	return uuid.NewSHA1(uuid.MustParse(serverUUID), name).String()
}
