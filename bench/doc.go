// Package bench compares the throughput of stevedore with rclone and two upper bounds, on
// the same files, OpenSSH servers and object store, one after the other. stevedore's
// worker runs in a separate process.
//
// Run it with `make load`. It fails if a result is wrong or a value was not measured, but
// not because of a low throughput.
package bench
