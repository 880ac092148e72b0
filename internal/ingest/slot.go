package ingest

import "time"

// Slot is a reservation for one file in flight of a server. At most MaxParallel
// slots of a server exist at a time.
type Slot struct {
	// Number is unique and never reused. Steps that read from the server must present
	// it, so that late or duplicate workflows cannot exceed the concurrency limit.
	Number int64
	File   File
	// Age is the time since the reservation, by the database's clock.
	Age time.Duration
}

// Reservation is the result of a dispatcher's request for slots.
type Reservation struct {
	// Server is the server with its current settings.
	Server Server
	// Slots are the new slots, for the oldest ready files.
	Slots []Slot
	// InUse counts the server's slots, including the new ones.
	InUse int
	// Waiting reports whether more files are ready than slots were reserved.
	Waiting bool
	// Troubled reports whether many files of the server were deferred in the last
	// minute. The dispatcher then starts one file at a time, after a pause.
	Troubled bool
	// DeferredFor is the time until the next deferred file is due; 0 for none.
	DeferredFor time.Duration
}
