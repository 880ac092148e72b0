package oas

import (
	"math"

	"stevedore/internal/admin"
)

// setDetails sets what is known once a connection stands.
func (t *ServerTest) setDetails(d admin.ProbeDetails) {
	if d.KeyExchange != "" {
		t.Algorithms = &ServerAlgorithms{KeyExchange: d.KeyExchange, HostKey: d.HostKeyAlgorithm, Cipher: d.Cipher, Mac: d.MAC}
		t.Extensions, t.Questions = &d.Extensions, &d.Questions
		if d.Extensions == nil {
			t.Extensions = &[]string{}
		}
	}
	if l := d.Limits; l != nil {
		t.Limits = &ServerLimits{MaxPacket: bounded(l.MaxPacket), MaxRead: bounded(l.MaxRead), MaxWrite: bounded(l.MaxWrite), MaxHandles: bounded(l.MaxHandles)}
	}
	if s := d.Sample; s != nil {
		t.Sample = &ServerSample{Taken: s.Taken, Rejected: s.Rejected, Unreadable: s.Unreadable, Paths: orEmpty(s.Paths), Complete: s.Complete}
	}
}

// Details returns what setDetails has set.
func (t ServerTest) Details() (d admin.ProbeDetails) {
	if a := t.Algorithms; a != nil {
		d.KeyExchange, d.HostKeyAlgorithm, d.Cipher, d.MAC = a.KeyExchange, a.HostKey, a.Cipher, a.Mac
	}
	if t.Extensions != nil {
		d.Extensions = *t.Extensions
	}
	if t.Questions != nil {
		d.Questions = *t.Questions
	}
	if l := t.Limits; l != nil {
		d.Limits = &admin.Limits{MaxPacket: uint64(l.MaxPacket), MaxRead: uint64(l.MaxRead), MaxWrite: uint64(l.MaxWrite), MaxHandles: uint64(l.MaxHandles)}
	}
	if s := t.Sample; s != nil {
		d.Sample = &admin.Sample{Taken: s.Taken, Rejected: s.Rejected, Unreadable: s.Unreadable, Paths: s.Paths, Complete: s.Complete}
	}
	return d
}

// bounded is a number of a server as JSON can hold it.
func bounded(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
