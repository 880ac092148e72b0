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

// pins are the pinned host keys of a server.
type pins struct {
	server ingest.Server
	keys   []ssh.PublicKey
	// expired are the expired pins.
	expired []expiredKey
}

type expiredKey struct {
	key ssh.PublicKey
	on  time.Time
}

// newPins parses the server's pinned keys. now decides which have expired.
func newPins(server ingest.Server, now time.Time) (pins, error) {
	p := pins{server: server}
	for i, line := range server.HostKeys {
		key, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil {
			// The parser's message quotes bytes of the line unescaped.
			return pins{}, ingest.Errorf(ingest.KindHostKey, "server %s: pinned host key %d is not a line like 'ssh-ed25519 AAAA...' (%s); pin the key again",
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

// algorithms returns the host key algorithms to negotiate, by the types of the pinned
// keys: a server with several keys might otherwise present one that is not pinned.
// SHA-1 signatures are included only for legacy servers.
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

// plainHostKeyAlgorithms returns the host key algorithms without certificates, because
// pins are plain keys. Ed25519, the most published type, is first; the insecure ones of
// legacy servers are last.
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

// check implements ssh.HostKeyCallback. It is called before the login, so that an error
// means that no credentials were sent.
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
			return fmt.Sprintf("server %s presents host key %s (%s), whose pin expired on %s; no credentials were sent; if the partner still uses it, %s",
				p.server.Name, fingerprint, key.Type(), old.on.Format(time.DateOnly), approve)
		}
	}
	if len(p.keys) == 0 {
		return fmt.Sprintf("server %s presents host key %s (%s), which is not pinned; no credentials were sent; compare it with the partner's fingerprint, then %s",
			p.server.Name, fingerprint, key.Type(), approve)
	}
	return fmt.Sprintf("server %s presents host key %s (%s), which is not pinned: this may be an attack; no credentials were sent; only if the partner confirms the new key, %s",
		p.server.Name, fingerprint, key.Type(), approve)
}

// hostKeyError is the error of a host key that is not pinned.
type hostKeyError struct{ message string }

func (e *hostKeyError) Error() string { return e.message }

// keyLine formats a key as a pin.
func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}
