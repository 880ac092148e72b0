package sftp

import (
	"context"
	"errors"
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
	ProbeDetails
}

// ProbeDetails are known once the connection stands.
type ProbeDetails struct {
	// KeyExchange, HostKeyAlgorithm, Cipher and MAC, of what the server sends, were
	// negotiated; MAC is empty where the cipher needs none.
	KeyExchange, HostKeyAlgorithm, Cipher, MAC string
	// Extensions are those of SFTP, of the known ones.
	Extensions []string
	// Limits are what the server states of itself; nil when it does not.
	Limits *Limits
	// Questions is how many questions were answered to log in.
	Questions int
	// Sample is what the patterns take; nil if it was not asked for.
	Sample *Sample
}

// Sample is what the patterns take of a server.
type Sample struct {
	// Taken and Rejected count files, Unreadable folders.
	Taken, Rejected, Unreadable int64
	// Paths are the first of those taken, shown harmlessly.
	Paths []string
	// Unmatched is what the patterns leave out.
	Unmatched ingest.Unmatched
	// Complete says that all folders were listed.
	Complete bool
}

const (
	// samplePaths is how many paths a sample shows.
	samplePaths = 20
	// sampleTime bounds how long it lists.
	sampleTime = 15 * time.Second
)

// knownExtensions are those of SFTP that matter to somebody.
var knownExtensions = []string{
	"posix-rename@openssh.com", "statvfs@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com",
	limitsExtension, "expand-path@openssh.com", "copy-data", "home-directory", "check-file", "md5-hash", "vendor-id", "versions",
}

// Probe connects anew and tries everything that a scan needs: the address, the
// host key, the log-in, the root folder. Of a server without a pinned key, or
// with another one, it returns the key and an error of KindHostKey; nothing is
// sent to it. Other errors are as of Open and List.
func (p *Pool) Probe(ctx context.Context, server ingest.Server) (ProbeResult, error) {
	return p.ProbeWith(ctx, server, false)
}

// ProbeWith is Probe that may also list for a sample of what the patterns take.
func (p *Pool) ProbeWith(ctx context.Context, server ingest.Server, sample bool) (ProbeResult, error) {
	route, err := routeTo(ctx, p.cfg.Directory, server)
	if err != nil {
		return ProbeResult{}, err
	}
	d, err := newDialer(ctx, p.cfg, p.secrets, route)
	if err != nil {
		return ProbeResult{}, err
	}
	connLease, err := acquireLease(ctx, p.cfg, server, server.Connections(), p.cfg.ConnectionWait)
	if err != nil {
		return ProbeResult{}, err
	}
	start := time.Now()
	c, err := d.dial(ctx)
	result := d.hostInfo()
	if err != nil {
		connLease.release()
		if _, full := errors.AsType[*limitError](err); full && len(connLease.otherHolders) > 0 && ctx.Err() == nil {
			err = newBusyError(server, connLease.otherHolders)
		}
		return result, err
	}
	p.watchers.Go(func() { connLease.renewUntil(c.ended) })
	defer func() {
		c.kill()
		c.watchers.Wait()
	}()
	result.LoginOK, result.Latency, result.ProbeDetails = true, time.Since(start), d.details(c)
	session := &Session{cfg: d.cfg, server: server, conn: c, release: c.kill}
	root, err := session.rootFolder(ctx)
	if err != nil {
		return result, err
	}
	found, err := session.readFolder(ctx, root, session.folderLimits())
	if err != nil {
		return result, session.explainRoot(ctx, err, root)
	}
	result.RootReadable, result.Entries = true, len(found.names)
	if sample {
		result.Sample, err = session.sample(ctx)
	}
	return result, err
}

// details returns what is known of a connection.
func (d *dialer) details(c *conn) ProbeDetails {
	details := ProbeDetails{Questions: d.answeredPrompts, Limits: c.limits}
	if negotiated, ok := c.ssh.Conn.(ssh.AlgorithmsConnMetadata); ok {
		used := negotiated.Algorithms()
		details.KeyExchange, details.HostKeyAlgorithm = used.KeyExchange, used.HostKey
		details.Cipher, details.MAC = used.Read.Cipher, used.Read.MAC
	}
	for _, name := range knownExtensions {
		if _, there := c.client.HasExtension(name); there {
			details.Extensions = append(details.Extensions, name)
		}
	}
	return details
}

// sample lists what the patterns take, for as long as a person waits.
func (s *Session) sample(ctx context.Context) (*Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	found := &Sample{}
	unread, err := s.List(ctx, ingest.ListRequest{Unmatched: found.Unmatched.Add}, func(seen ingest.Observation) error {
		switch {
		case seen.Aside != "":
			return nil
		case seen.Rejected != "":
			found.Rejected++
			return nil
		case len(found.Paths) < samplePaths:
			found.Paths = append(found.Paths, ingest.DisplayPath(seen.Path))
		}
		found.Taken++
		return nil
	})
	found.Unreadable, found.Complete = unread.Count, err == nil
	if ctx.Err() != nil { // what was found in the time is the answer
		err = nil
	}
	return found, err
}

// seen is what the server showed before any log-in.
func (d *dialer) hostInfo() ProbeResult {
	var r ProbeResult
	if strings.HasPrefix(d.greeting, "SSH-") {
		r.ServerVersion = ingest.DisplayPath(d.greeting)
	}
	if key := d.presented.Load(); key != nil {
		r.Fingerprint, r.HostKeyLine, r.Pinned = ssh.FingerprintSHA256(*key), keyLine(*key), d.pins.match(*key)
	}
	return r
}
