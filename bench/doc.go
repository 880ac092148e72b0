// Package bench measures stevedore beside its peers and two ceilings: the same
// files, the same OpenSSH servers and the same object store, in turns. It starts
// stevedore's worker as a process and knows nothing of its inside.
//
// Run it with `make load`. It fails when a result is wrong or something was not
// measured, never because something was slow.
package bench
