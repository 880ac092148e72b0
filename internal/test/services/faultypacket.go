package services

import (
	"encoding/binary"

	"golang.org/x/crypto/ssh"
)

// faultyChannel replaces packets by packets that the library would never send.
type faultyChannel struct {
	ssh.Channel
	server *FaultySFTP
}

// Write sends a packet or the beginning of one: the library writes the header and the
// data of large packets separately.
func (c *faultyChannel) Write(p []byte) (int, error) {
	if len(p) < 9 || p[4] != typeData {
		return c.Channel.Write(p)
	}
	c.server.mu.Lock()
	huge, reads := c.server.faults.Huge, c.server.reads
	c.server.mu.Unlock()
	if huge == nil {
		return c.Channel.Write(p)
	}
	if size := huge(reads); size > 0 {
		// Length, type, the request's id, the length of the data, the data.
		packet := make([]byte, 4+size)
		binary.BigEndian.PutUint32(packet, uint32(size))
		copy(packet[4:], p[4:9])
		binary.BigEndian.PutUint32(packet[9:], uint32(size-9))
		if _, err := c.Channel.Write(packet); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return c.Channel.Write(p)
}
