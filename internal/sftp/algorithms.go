package sftp

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// offeredAlgorithms returns the secure algorithms. With legacy set it appends the
// insecure ones, so that a common secure algorithm is still preferred.
func offeredAlgorithms(legacy bool) ssh.Algorithms {
	offered := ssh.SupportedAlgorithms()
	if !legacy {
		return offered
	}
	old := ssh.InsecureAlgorithms()
	offered.KeyExchanges = slices.Concat(offered.KeyExchanges, old.KeyExchanges)
	offered.Ciphers = slices.Concat(offered.Ciphers, old.Ciphers)
	offered.MACs = slices.Concat(offered.MACs, old.MACs)
	offered.HostKeys = slices.Concat(offered.HostKeys, old.HostKeys)
	return offered
}

// noCommonAlgorithm returns the error of a negotiation without a common algorithm: the
// server's offers, and the setting that helps, if any.
func noCommonAlgorithm(server ingest.Server, address string, e *ssh.AlgorithmNegotiationError) *ingest.Error {
	kind, what := ingest.KindServer, e.What
	if strings.Contains(what, "host key") {
		kind, what = ingest.KindHostKey, "host key signature"
	}
	peer := shortList(e.RequestedAlgorithms)
	usable := legacyOffers(e)
	advice := "ask the partner to update it: stevedore cannot use any of these"
	switch {
	case len(usable) > 0 && !server.LegacyAlgorithms:
		advice = fmt.Sprintf("ask the partner to update it, or accept the weak %s: `stevedore server edit %s --legacy-algorithms`",
			strings.Join(usable, ", "), server.Name)
	case len(usable) > 0:
		advice = "ask the partner to update it"
	}
	return ingest.Errorf(kind, "server %s: %s offers no secure %s, only %s (stevedore offers %s): %s",
		server.Name, address, what, peer, shortList(e.SupportedAlgorithms), advice)
}

// legacyOffers returns the server's algorithms that LegacyAlgorithms would enable.
func legacyOffers(e *ssh.AlgorithmNegotiationError) (usable []string) {
	old := ssh.InsecureAlgorithms()
	all := slices.Concat(old.KeyExchanges, old.Ciphers, old.MACs, old.HostKeys)
	for _, algorithm := range e.RequestedAlgorithms {
		if slices.Contains(all, algorithm) && len(usable) < maxListed {
			usable = append(usable, algorithm)
		}
	}
	return usable
}

// maxListed bounds the items of a list in a message.
const maxListed = 8

// shortList formats a list that a server sent for a message: bounded and escaped.
func shortList(algorithms []string) string {
	if len(algorithms) == 0 {
		return "none"
	}
	shown := make([]string, 0, maxListed)
	for _, algorithm := range algorithms[:min(len(algorithms), maxListed)] {
		shown = append(shown, ingest.Summary(algorithm))
	}
	text := strings.Join(shown, ", ")
	if more := len(algorithms) - maxListed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
