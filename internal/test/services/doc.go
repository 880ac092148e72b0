// Package services provides a test with services of its own: a database, bucket, queue, task
// queue, SFTP server or keyset, removed when the test ends. The services are real
// ones, whose addresses `make test` sets in the environment, and doubles that inject faults.
// docs/decisions/0052-doubles-pass-the-suite.md lists the suite that compares each double with
// the real service.
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
