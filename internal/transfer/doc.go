// Package transfer copies remote files into a staging folder so that a copy can
// be killed at any moment and goes on from its last checkpoint.
//
// A checkpoint holds the offset reached and the marshaled state of the SHA-256
// over the bytes before it, so that nothing is read twice to hash it. Three
// rules make it trustworthy:
//
//   - data is fsynced before the checkpoint that speaks of it is renamed in, so
//     a checkpoint never promises bytes the disk does not have;
//   - a resumed copy cuts the data back to the checkpoint's offset, so bytes
//     written after it, whole or torn, never count;
//   - after one failed checkpoint the copy makes no other: a kernel may report
//     a lost write once only, and a later fsync that succeeds proves nothing.
//
// The layout on disk is
//
//	DIR/lock                       held by the one worker process that uses DIR
//	DIR/host-id                    the volume's id, made on first use
//	DIR/files/UUID/data            the bytes
//	DIR/files/UUID/checkpoint.json
//
// A file's folder is itself what an attempt locks; there is no lock file in it.
package transfer
