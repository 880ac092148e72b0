package sftp

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// ProbeResult is the result of a probe. It is also valid together with an error.
type ProbeResult struct {
	// Fingerprint is the fingerprint of the presented host key as in ssh-keygen -l
	// ("SHA256:..."), and KeyLine the key in the format of a pin
	// ("ssh-ed25519 AAAA..."). Both are empty if the server presented none.
	Fingerprint string
	KeyLine     string
	// Pinned reports whether the presented key is pinned.
	Pinned bool
	// Software is the server's version line, e.g. "SSH-2.0-OpenSSH_9.2", escaped.
	Software string
	// LoginOK reports whether the login succeeded and the SFTP channel is open.
	LoginOK bool
	// RootReadable reports whether the root folder could be listed; Entries is the
	// number of entries in it.
	RootReadable bool
	Entries      int
	// Latency is the time to connect and log in; zero without LoginOK.
	Latency time.Duration
	ProbeDetails
}

// ProbeDetails describe an established connection.
type ProbeDetails struct {
	// KeyExchange, HostKeyAlgorithm, Cipher and MAC are the negotiated algorithms;
	// Cipher and MAC are for the data from the server. MAC is empty if the cipher
	// includes it.
	KeyExchange, HostKeyAlgorithm, Cipher, MAC string
	// Extensions are the server's SFTP extensions that are in knownExtensions.
	Extensions []string
	// Limits are the limits that the server reports; nil if it reports none.
	Limits *Limits
	// Questions is the number of prompts answered in the login.
	Questions int
	// Sample is a sample of the matching files; nil if not requested.
	Sample *Sample
}

// Sample is a bounded listing with the server's patterns.
type Sample struct {
	// Included and Rejected count files, Unreadable folders.
	Included, Rejected, Unreadable int64
	// Paths are the first paths of included files, escaped.
	Paths []string
	// Unmatched has the entries that the patterns leave out.
	Unmatched ingest.Unmatched
	// Omitted are the first entries that are not included, with the reason.
	Omitted []OmittedEntry
	// Complete reports whether all folders were listed.
	Complete bool
}

// OmittedEntry is an entry that a listing does not include, or not yet.
type OmittedEntry struct {
	// Path is escaped; that of a folder ends in '/'.
	Path string
	ingest.Omission
}

// omit adds an entry by its raw path.
func (s *Sample) omit(path string, o ingest.Omission) {
	s.Unmatched.Add(path, o)
	if len(s.Omitted) < sampleOmitted {
		s.Omitted = append(s.Omitted, OmittedEntry{ingest.DisplayPath(path), o})
	}
}

const (
	// samplePaths and sampleOmitted bound the paths of a sample.
	samplePaths, sampleOmitted = 20, 200
	// sampleTime bounds the time of its listing.
	sampleTime = 15 * time.Second
)

// knownExtensions are the SFTP extensions that a probe reports.
var knownExtensions = []string{
	"posix-rename@openssh.com", "statvfs@openssh.com", "hardlink@openssh.com", "fsync@openssh.com", "lsetstat@openssh.com",
	limitsExtension, "expand-path@openssh.com", "copy-data", "home-directory", "check-file", "md5-hash", "vendor-id", "versions",
}

// Probe makes a new connection and checks everything that a scan needs: the address, the
// host key, the login, the root folder. If the presented key is not pinned, it returns
// the key and an error of KindHostKey, and sends no credentials. Other errors are as of
// Open and List.
func (p *Pool) Probe(ctx context.Context, server ingest.Server) (ProbeResult, error) {
	return p.ProbeWith(ctx, server, false)
}

// ProbeWith is Probe with an optional sample of the matching files.
func (p *Pool) ProbeWith(ctx context.Context, server ingest.Server, sample bool) (ProbeResult, error) {
	route, err := routeTo(ctx, p.cfg.Directory, server)
	if err != nil {
		return ProbeResult{}, err
	}
	d, err := newDialer(ctx, p.cfg, p.secrets, route)
	if err != nil {
		return ProbeResult{}, err
	}
	c, latency, others, err := p.dialProbe(ctx, d, server.Connections())
	if len(others) > 0 { // they may be idle, and are closed then
		c, latency, _, err = p.dialProbe(ctx, d, len(others))
	}
	result := d.hostInfo()
	if err != nil {
		return result, err
	}
	defer func() {
		c.finish()
		c.watchers.Wait()
	}()
	result.LoginOK, result.Latency, result.ProbeDetails = true, latency, d.details(c)
	session := &Session{cfg: d.cfg, server: server, conn: c, release: c.kill}
	root, err := session.rootFolder(ctx)
	if err != nil {
		return result, err
	}
	found, err := session.readFolder(ctx, root, session.folderLimits())
	if err != nil {
		return result, resultOfProbe(session.explainRoot(ctx, err, root))
	}
	result.RootReadable, result.Entries = true, len(found.names)
	if sample {
		result.Sample, err = session.sample(ctx)
	}
	return result, resultOfProbe(err)
}

// dialProbe makes a connection as one of at most limit; 0 is no limit. If the server accepts no
// more than those of other processes, it records that limit and returns their holders.
func (p *Pool) dialProbe(ctx context.Context, d *dialer, limit int) (c *conn, latency time.Duration, others []string, err error) {
	l, err := p.leases.acquire(ctx, d.server, limit, p.cfg.ConnectionWait)
	if err != nil {
		return nil, 0, nil, err
	}
	start := time.Now()
	c, err = p.dialWith(ctx, l, d)
	if isLimit(err) && len(l.otherHolders) > 0 && ctx.Err() == nil {
		if d.server.UUID != p.cfg.DraftUUID { // the draft may have another user
			p.recordLimit(ctx, d.server, len(l.otherHolders), learnedLimitTTL, err)
		}
		return nil, 0, l.otherHolders, newBusyError(d.server, l.otherHolders)
	}
	return c, time.Since(start), nil, err
}

// resultOfProbe turns KindInvalid, which callers take for an invalid request, into
// KindServer: the server cannot be used with these settings.
func resultOfProbe(err error) error {
	if known, ok := errors.AsType[*ingest.Error](err); ok && known.Kind == ingest.KindInvalid {
		return ingest.Wrap(ingest.KindServer, err, "%s", known.Message)
	}
	return err
}

// details describes the connection.
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

// sample lists the matching files for at most sampleTime, because a user waits for it.
func (s *Session) sample(ctx context.Context) (*Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, sampleTime)
	defer cancel()
	found, now := &Sample{}, time.Now()
	unread, err := s.List(ctx, ingest.ListRequest{Omitted: found.omit}, func(seen ingest.Observation) error {
		switch {
		case seen.Ignored != "":
			return nil
		case seen.Rejected != "":
			found.Rejected++
			return nil
		}
		found.Included++
		if omitted := seen.Omission(s.server, now); omitted != (ingest.Omission{}) {
			found.omit(seen.Path, omitted)
		} else if len(found.Paths) < samplePaths {
			found.Paths = append(found.Paths, ingest.DisplayPath(seen.Path))
		}
		return nil
	})
	found.Unreadable, found.Complete = unread.Count, err == nil
	if ctx.Err() != nil { // a partial sample is a valid result
		err = nil
	}
	return found, err
}

// hostInfo returns the server's version and host key, which precede the login.
func (d *dialer) hostInfo() ProbeResult {
	var r ProbeResult
	if strings.HasPrefix(d.greeting, "SSH-") {
		r.Software = ingest.DisplayPath(d.greeting)
	}
	if key := d.presented.Load(); key != nil {
		r.Fingerprint, r.KeyLine, r.Pinned = ssh.FingerprintSHA256(*key), keyLine(*key), d.pins.match(*key)
	}
	return r
}
