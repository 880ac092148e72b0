package openapi

import (
	"math"

	"stevedore/internal/operations"
)

// setDetails sets the fields that a successful connection provides.
func (t *ServerTest) setDetails(d operations.ProbeDetails) {
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
		t.Sample = &ServerSample{Taken: s.Included, Rejected: s.Rejected, Unreadable: s.Unreadable, Paths: orEmpty(s.Paths),
			LeftOut: s.Unmatched.Count, LeftOutExample: orNull(s.Unmatched.Example), Complete: s.Complete,
			Omitted: List(s.Omitted, func(e operations.OmittedEntry) OmittedEntry {
				return OmittedEntry{Path: e.Path, Reason: OmissionReason(e.Reason), Message: e.String()}
			})}
	}
}

// bounded limits a number from a server to the range of int64.
func bounded(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
