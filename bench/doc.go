// Package bench compares the throughput of stevedore with rclone and two upper bounds,
// on the same files, OpenSSH servers and object store, in turns. stevedore's worker runs
// as a process of its own.
//
// Run it with `make load`. It fails if a result is wrong or a value was not measured,
// but not because of a low throughput.
package bench
