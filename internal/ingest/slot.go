package ingest

import "time"

// Slot is a reserved place among the files of a server that are in flight. At
// most MaxParallel of a server exist at a time, whoever reserves them.
type Slot struct {
	// Number is unique for ever. The step that reads from the server is refused
	// without the right one, so that a workflow that was started late or twice
	// cannot exceed the limit.
	Number int64
	File   File
	// Age is the time since it was reserved, by the database's clock.
	Age time.Duration
}

// Reservation is what a dispatcher got when it asked for slots.
type Reservation struct {
	// Server is the server as it is now.
	Server Server
	// Slots are the new ones, for the files that have waited longest.
	Slots []Slot
	// InUse counts the server's slots, the new ones included.
	InUse int
	// Waiting says that more files are ready than got a slot.
	Waiting bool
	// Troubled says that many of the server's files were deferred within the last
	// minute: one file at a time is begun, and not at once.
	Troubled bool
	// DeferredFor is how long until the first of the deferred files may be taken
	// up; 0 when there is none.
	DeferredFor time.Duration
}
