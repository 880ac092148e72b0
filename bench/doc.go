// Package bench measures stevedore beside its peers: the same files, the same
// OpenSSH servers and the same object store, in turns.
//
// Run it with `make load`. It fails only when a result is wrong, never because
// something was slow.
package bench
