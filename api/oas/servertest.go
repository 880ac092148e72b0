package oas

import "stevedore/internal/admin"

// setDetails sets what is known once a connection stands.
func (t *ServerTest) setDetails(d admin.ProbedDetails) {
	if d.KeyExchange != "" {
		t.Algorithms = &ServerAlgorithms{KeyExchange: d.KeyExchange, HostKey: d.HostKeyAlgorithm, Cipher: d.Cipher, Mac: d.MAC}
		t.Extensions, t.Questions = &d.Extensions, &d.Questions
		if d.Extensions == nil {
			t.Extensions = &[]string{}
		}
	}
	if s := d.Sample; s != nil {
		t.Sample = &ServerSample{Taken: s.Taken, Rejected: s.Rejected, Unreadable: s.Unreadable, Paths: orEmpty(s.Paths),
			LeftOut: s.Unmatched.Count, LeftOutExample: orNull(s.Unmatched.Example), Complete: s.Complete}
	}
}

// Details returns what setDetails has set.
func (t ServerTest) Details() (d admin.ProbedDetails) {
	if a := t.Algorithms; a != nil {
		d.KeyExchange, d.HostKeyAlgorithm, d.Cipher, d.MAC = a.KeyExchange, a.HostKey, a.Cipher, a.Mac
	}
	if t.Extensions != nil {
		d.Extensions = *t.Extensions
	}
	if t.Questions != nil {
		d.Questions = *t.Questions
	}
	if s := t.Sample; s != nil {
		d.Sample = &admin.Sample{Taken: s.Taken, Rejected: s.Rejected, Unreadable: s.Unreadable, Paths: s.Paths, Complete: s.Complete}
		d.Sample.Unmatched.Count = s.LeftOut
		if s.LeftOutExample != nil {
			d.Sample.Unmatched.Example = *s.LeftOutExample
		}
	}
	return d
}
