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
	var files fileChanges
	var events eventRows
	var freed, released, ended, taken []int64
	for _, o := range g.outcomes {
		if o.err != nil {
			continue
		}
		if o.updates() {
			files.add(o)
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
	files.queue(b)
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

// texts is a text column; null leaves the value unchanged.
type texts []*string

func (t *texts) add(value *string) { *t = append(*t, value) }

func (t *texts) addIf(set bool, value string) {
	if !set {
		*t = append(*t, nil)
		return
	}
	value = cleanText(value)
	*t = append(*t, &value)
}

// orEmpty returns the text, or "" for nil.
func orEmpty(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// fileChanges are updates of files, one list per column.
type fileChanges struct {
	ids, fences                                           []int64
	rounds                                                []int
	status, hash, algo, bucket, key, etag, checksum, mode texts
	stagedOn, step, kind, message, sourceLeft             texts
	deferred, moves, gone                                 []bool
	sidecars                                              companionColumns
	shown                                                 []*time.Time
}

func (c *fileChanges) add(o outcome) {
	set := o.change.Set
	c.ids, c.fences, c.rounds = append(c.ids, o.row.id), append(c.fences, o.row.fence), append(c.rounds, o.row.round)
	c.status.addIf(o.change.To != "", string(o.change.To))
	c.hash.add(set.Hash)
	c.algo.add(set.HashAlgo)
	c.bucket.add(set.Bucket)
	c.key.add(set.ObjectKey)
	c.etag.add(set.ETag)
	c.checksum.add(set.Checksum)
	c.mode.add((*string)(set.Mode))
	c.stagedOn.add(set.StagedOn)
	var failure ingest.Failure
	if set.Error != nil {
		failure = *set.Error
	}
	c.step.addIf(set.Error != nil, string(failure.Step))
	c.kind.addIf(set.Error != nil, string(failure.Kind))
	c.message.addIf(set.Error != nil, failure.Message)
	c.sourceLeft.addIf(set.SourceLeft != nil, orEmpty(set.SourceLeft))
	if set.Sidecar != nil {
		c.sidecars.add(*set.Sidecar, false)
	} else {
		c.sidecars.add(ingest.Companion{}, false)
	}
	c.deferred = append(c.deferred, o.change.Defer)
	c.moves = append(c.moves, o.change.NewRound || o.gotBytes())
	c.gone, c.shown = append(c.gone, set.SourceGone), append(c.shown, set.ShownTime)
}

func (c *fileChanges) queue(b *pgx.Batch) {
	if len(c.ids) > 0 {
		b.Queue(updateFiles, c.ids, c.fences, c.rounds, c.status, c.hash, c.algo, c.bucket, c.key, c.etag, c.checksum, c.mode,
			c.stagedOn, c.step, c.kind, c.message, c.deferred, c.moves, c.sourceLeft, c.sidecars.orNull(), c.sidecars.sizes, c.sidecars.times,
			c.gone, c.shown)
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
