package store

import (
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"stevedore/internal/ingest"
)

// write queues the statements that record the outcomes and end the transaction.
func (g *group) write() *pgx.Batch {
	b := &pgx.Batch{}
	g.taken = nil
	var updated []outcome
	var events eventRows
	var freed, released, ended, taken []int64
	for _, o := range g.outcomes {
		if o.err != nil {
			continue
		}
		if o.updates() {
			updated = append(updated, o)
		}
		events.add(o)
		if o.change.FreeSlot {
			freed, released = append(freed, o.row.id), append(released, o.change.Slot)
		}
		if o.change.To.Terminal() {
			ended = append(ended, o.row.id)
		}
		if o.request.take {
			taken = append(taken, o.row.id)
		}
	}
	if len(updated) > 0 {
		b.Queue(updateFiles, updateArgs(updated))
	}
	events.queue(b)
	if len(freed) > 0 {
		b.Queue(freeSlots, freed, released)
	}
	if len(ended) > 0 {
		b.Queue(endTransfers, ended)
	}
	if len(taken) > 0 {
		b.Queue(filesByID, taken).Query(g.readTaken)
	}
	if b.Len() == 0 {
		b.Queue(rollback) // avoids a disk flush
	} else {
		b.Queue(commit)
	}
	return b
}

func (g *group) readTaken(rows pgx.Rows) error {
	files, err := pgx.CollectRows(rows, scanFile)
	g.taken = make(map[int64]ingest.File, len(files))
	for _, file := range files {
		g.taken[file.ID] = file
	}
	return err
}

// updateArgs are the columns of updateFiles.
func updateArgs(outcomes []outcome) pgx.NamedArgs {
	set := column(outcomes, func(o outcome) ingest.Columns { return o.change.Set })
	args := pgx.NamedArgs{
		"ids":       column(outcomes, func(o outcome) int64 { return o.row.id }),
		"fences":    column(outcomes, func(o outcome) int64 { return o.row.fence }),
		"rounds":    column(outcomes, func(o outcome) int { return o.row.round }),
		"statuses":  column(outcomes, func(o outcome) *string { return nullIfZero(string(o.change.To)) }),
		"deferred":  column(outcomes, func(o outcome) bool { return o.change.Defer }),
		"restarted": column(outcomes, func(o outcome) bool { return o.change.NewRound || o.gotBytes() }),
		"hashes":    column(set, func(c ingest.Columns) *string { return c.Hash }),
		"algos":     column(set, func(c ingest.Columns) *string { return c.HashAlgo }),
		"buckets":   column(set, func(c ingest.Columns) *string { return c.Bucket }),
		"keys":      column(set, func(c ingest.Columns) *string { return c.ObjectKey }),
		"etags":     column(set, func(c ingest.Columns) *string { return c.ETag }),
		"checksums": column(set, func(c ingest.Columns) *string { return c.Checksum }),
		"modes":     column(set, func(c ingest.Columns) *string { return (*string)(c.Mode) }),
		"hosts":     column(set, func(c ingest.Columns) *string { return c.StagedOn }),
		"steps":     column(set, errorColumn(func(f ingest.Failure) string { return string(f.Step) })),
		"kinds":     column(set, errorColumn(func(f ingest.Failure) string { return string(f.Kind) })),
		"messages":  column(set, errorColumn(func(f ingest.Failure) string { return f.Message })),
		"left": column(set, func(c ingest.Columns) *string {
			if c.SourceLeft == nil {
				return nil
			}
			return new(cleanText(*c.SourceLeft))
		}),
		"gone":  column(set, func(c ingest.Columns) bool { return c.SourceGone }),
		"shown": column(set, func(c ingest.Columns) *time.Time { return c.ShownTime }),
	}
	addCompanionArgs(args, "sidecar", column(set, func(c ingest.Columns) ingest.Companion {
		if c.Sidecar == nil {
			return ingest.Companion{}
		}
		return *c.Sidecar
	}))
	return args
}

// errorColumn returns the part of a change's error; nil if the change leaves the error.
func errorColumn(part func(ingest.Failure) string) func(ingest.Columns) *string {
	return func(c ingest.Columns) *string {
		if c.Error == nil {
			return nil
		}
		return new(cleanText(part(*c.Error)))
	}
}

// eventRows are rows of file_events, one list per column.
type eventRows struct {
	files  []int64
	rounds []int
	facts
}

func (e *eventRows) add(o outcome) {
	n := len(o.facts.types)
	e.files = append(e.files, slices.Repeat([]int64{o.row.id}, n)...)
	e.rounds = append(e.rounds, slices.Repeat([]int{o.row.round}, n)...)
	e.types = append(e.types, o.facts.types...)
	e.keys = append(e.keys, o.facts.keys...)
	e.details = append(e.details, o.facts.details...)
}

func (e *eventRows) queue(b *pgx.Batch) {
	if len(e.files) > 0 {
		b.Queue(insertEvents, e.files, e.rounds, e.types, e.keys, e.details)
	}
}
