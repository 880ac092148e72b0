// Package transfer copies remote files into staging, memory or the parts of an
// upload. A copy can be killed at any moment and resumes from its last checkpoint.
//
// A checkpoint contains the offset and the marshaled state of the SHA-256 over the
// bytes before it, so that no byte is read twice for hashing. Three rules make it
// reliable:
//
//   - data is synced before the checkpoint that records it is renamed, so a
//     checkpoint never records bytes that are not on disk;
//   - a resumed copy truncates the data to the checkpoint's offset, which drops
//     bytes written later, complete or torn;
//   - after a failed checkpoint the copy writes no other one, because a kernel may
//     report a lost write only once, and a later successful fsync proves nothing.
//
// The layout on disk is:
//
//	DIR/lock                       locked by the worker process that uses DIR
//	DIR/host-id                    the volume's id, created on first use
//	DIR/files/UUID/data            the bytes
//	DIR/files/UUID/checkpoint.json
//
// An attempt locks the file's folder itself; there is no lock file in it.
package transfer
