package sftp

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// pins are the host keys that a server may present.
type pins struct {
	server ingest.Server
	keys   []ssh.PublicKey
	// expired are those that no longer count.
	expired []expiredKey
}

type expiredKey struct {
	key ssh.PublicKey
	on  time.Time
}

// newPins reads the server's pinned keys. Those that expired before now do not
// count.
func newPins(server ingest.Server, now time.Time) (pins, error) {
	p := pins{server: server}
	for i, line := range server.HostKeys {
		key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			// The parser quotes bytes of the line as they are.
			return pins{}, ingest.Errorf(ingest.KindHostKey, "server %s: pinned host key %d is not a line like 'ssh-ed25519 AAAA...' (%s); pin the key anew",
				server.Name, i+1, ingest.Summary(err.Error()))
		}
		expires, err := ingest.HostKeyExpiry(comment)
		switch {
		case err != nil:
			return pins{}, ingest.Wrap(ingest.KindHostKey, err, "server %s: pinned host key %d: %s", server.Name, i+1, err)
		case !expires.IsZero() && !now.Before(expires):
			p.expired = append(p.expired, expiredKey{key, expires})
		default:
			p.keys = append(p.keys, key)
		}
	}
	return p, nil
}

// algorithms are the host key algorithms to ask for. They follow the types of
// the pinned keys: a server with several keys would otherwise present one that
// nobody pinned. Signatures with SHA-1 are asked for only of legacy servers.
func (p pins) algorithms(legacy bool) []string {
	supported := plainHostKeyAlgorithms(legacy)
	if len(p.keys) == 0 {
		return supported
	}
	var wanted []string
	for _, key := range p.keys {
		algos := []string{key.Type()}
		if key.Type() == ssh.KeyAlgoRSA {
			algos = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
		}
		for _, algo := range algos {
			if slices.Contains(supported, algo) && !slices.Contains(wanted, algo) {
				wanted = append(wanted, algo)
			}
		}
	}
	return wanted
}

// plainHostKeyAlgorithms are the secure ones, the kind that most partners
// publish first, without certificates: what is pinned is a key. Those of legacy
// servers come last.
func plainHostKeyAlgorithms(legacy bool) []string {
	algos := slices.DeleteFunc(offeredAlgorithms(legacy).HostKeys, func(algo string) bool {
		return strings.Contains(algo, "-cert-")
	})
	slices.SortStableFunc(algos, func(a, b string) int {
		return boolToInt(b == ssh.KeyAlgoED25519) - boolToInt(a == ssh.KeyAlgoED25519)
	})
	return algos
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// match reports whether the key is pinned.
func (p pins) match(key ssh.PublicKey) bool {
	presented := key.Marshal()
	return slices.ContainsFunc(p.keys, func(pinned ssh.PublicKey) bool {
		return bytes.Equal(pinned.Marshal(), presented)
	})
}

// check fits ssh.ClientConfig.HostKeyCallback. SSH calls it before anything of
// ours is sent, so that an error from here means that no credentials left.
func (p pins) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	if p.match(key) {
		return nil
	}
	return &hostKeyError{message: p.mismatchMessage(key)}
}

func (p pins) mismatchMessage(key ssh.PublicKey) string {
	fingerprint := ssh.FingerprintSHA256(key)
	approve := fmt.Sprintf("run `stevedore server test %s --approve %s`", p.server.Name, fingerprint)
	for _, old := range p.expired {
		if bytes.Equal(old.key.Marshal(), key.Marshal()) {
			return fmt.Sprintf("server %s presents host key %s (%s), whose pin has expired on %s, so no credentials were sent; if the partner still uses it, %s",
				p.server.Name, fingerprint, key.Type(), old.on.Format(time.DateOnly), approve)
		}
	}
	if len(p.keys) == 0 {
		return fmt.Sprintf("server %s presents host key %s (%s), which is not pinned, so no credentials were sent; compare it with the partner's, then %s",
			p.server.Name, fingerprint, key.Type(), approve)
	}
	return fmt.Sprintf("server %s presents host key %s (%s), which is not a pinned one: it may be an attack, so no credentials were sent; only if the partner confirms the new key, %s",
		p.server.Name, fingerprint, key.Type(), approve)
}

// hostKeyError carries the refusal of a key out of the handshake.
type hostKeyError struct{ message string }

func (e *hostKeyError) Error() string { return e.message }

// keyLine is a key as it is pinned.
func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
