// Package sftp is the client of partners' SFTP servers: pinned host keys, bounded and
// reused connections, listings, and reads by offset.
//
// Servers are untrusted: they may send too much, false data or nothing. Every request
// has a deadline, and names are checked before they become paths. A request that hangs
// is ended by closing the SSH connection, because closing a file or channel can wait
// for the missing reply.
//
// Contents by file:
//
//	pool.go, serverpool.go, lease.go  connections of one worker and of all workers
//	dial.go, route.go, address.go     TCP connection, proxy, jump host, allowed addresses
//	hostkey.go, login.go              host key check, authentication methods
//	session.go, stat.go, root.go      requests on one channel; error texts of status codes
//	explain.go                        error texts of connections and logins
//	list.go, walk.go, folder.go       listings; classify.go sorts their entries
//	companions.go, filter.go          done-markers and checksum files, globs
//	file.go                           reads of an open file
//	wire.go, packet.go                limits on received packets, their fields
//	behavior.go, loop.go, probe.go    deviations of servers, folder loops, the server test
package sftp
