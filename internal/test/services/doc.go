// Package services creates isolated resources on real services for a test: a database,
// bucket, queue, task queue or server, removed when the test ends. The addresses of the
// services come from the environment.
//
// SFTP servers for tests:
//
//	SSHD        OpenSSH, to stop, kill, freeze or configure
//	FaultySFTP  files in memory; faults of reads, opens, listings and sizes
//	FaultyTree  a folder tree; deviations of real servers from the protocol
//	Garbage     random corruption of responses
//
// hostile_test.go of package sftp sends arbitrary packets to the client. Package faults
// transfers files while servers are faulty. S3Double is an object store with deviations.
package services
