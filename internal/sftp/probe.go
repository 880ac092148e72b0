package sftp

import (
	"context"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// ProbeResult is how far a probe came. It is valid beside an error, too.
type ProbeResult struct {
	// Fingerprint is the presented host key as ssh-keygen -l prints it
	// ("SHA256:..."), and HostKeyLine the key as it is pinned
	// ("ssh-ed25519 AAAA..."). Empty if the server presented none.
	Fingerprint string
	HostKeyLine string
	// Pinned says that this key is a pinned one.
	Pinned bool
	// ServerVersion is how the server names itself, e.g. "SSH-2.0-OpenSSH_9.2";
	// shown harmlessly.
	ServerVersion string
	// LoginOK says that the credentials were accepted and SFTP is there.
	LoginOK bool
	// RootReadable says that the root folder could be listed; Entries is how
	// many files, folders and others are directly in it.
	RootReadable bool
	Entries      int
	// Latency is how long it took to connect and log in; zero without LoginOK.
	Latency time.Duration
}

// Probe connects anew and tries everything that a scan needs: the address, the
// host key, the log-in, the root folder. Of a server without a pinned key, or
// with another one, it returns the key and an error of KindHostKey; nothing is
// sent to it. Other errors are as of Open and List.
func (p *Pool) Probe(ctx context.Context, server ingest.Server) (ProbeResult, error) {
	route, err := routeTo(ctx, p.cfg.Directory, server)
	if err != nil {
		return ProbeResult{}, err
	}
	d, err := newDialer(ctx, p.cfg, p.secrets, route)
	if err != nil {
		return ProbeResult{}, err
	}
	start := time.Now()
	c, err := d.dial(ctx)
	result := d.seen()
	if err != nil {
		return result, err
	}
	defer func() {
		c.kill()
		c.watchers.Wait()
	}()
	result.LoginOK, result.Latency = true, time.Since(start)
	session := &Session{cfg: d.cfg, server: server, conn: c, giveBack: c.kill}
	entries, err := session.readFolder(ctx, server.RootPath)
	if err != nil {
		return result, session.explain(err, "list its root folder", server.RootPath)
	}
	result.RootReadable, result.Entries = true, len(entries)
	return result, nil
}

// seen is what the server showed before any log-in.
func (d *dialer) seen() ProbeResult {
	var r ProbeResult
	if strings.HasPrefix(d.greeting, "SSH-") {
		r.ServerVersion = ingest.DisplayPath(d.greeting)
	}
	if key := d.presented.Load(); key != nil {
		r.Fingerprint, r.HostKeyLine, r.Pinned = ssh.FingerprintSHA256(*key), keyLine(*key), d.pins.match(*key)
	}
	return r
}
