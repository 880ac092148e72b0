package activities

import (
	"cmp"
	"context"
	"path"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// sidecarCheck is the result of reading the partner's checksum file of a file.
type sidecarCheck struct {
	// want is the digest; the zero value if there is none.
	want checksum
	// seen is the checksum file that was read; nil if none was.
	seen *ingest.Companion
	// name is the checksum file's display name; empty if there is none.
	name string
	// why there is no digest; it completes a sentence that begins with name.
	why string
	// cause is the kind of the error if it cannot be read.
	cause ingest.Kind
	// premature: the checksum file may still change, because it is empty, unreadable or
	// of an earlier version.
	premature bool
	// stale: it is older than the file, or existed with an earlier version.
	stale bool
	// sessionLost: reading it may have broken the connection.
	sessionLost bool
	// until is the end of the grace period for a checksum file that does not match.
	until time.Time
}

// originTransfer is the origin of a hash that was only computed during the transfer.
const originTransfer = "transfer"

// unverified returns the origin of a hash that could not be compared with the checksum
// file.
func (o sidecarCheck) unverified(why string) string {
	return originTransfer + " (not verified: " + o.name + " " + why + ")"
}

// pendingError returns the provisional error of the kind for a checksum file that may still
// change: what completes a sentence.
func (o sidecarCheck) pendingError(kind ingest.Kind, file ingest.File, what string) error {
	return provisional{ingest.Errorf(ingest.KindTransient, "the checksum file %s of %s %s; checked again until %s", o.name,
		ingest.DisplayPath(file.RemotePath), what, o.until.UTC().Format(time.RFC3339)), kind}
}

// compare returns the origin of the verified hash: the checksum file, if it matches. A
// mismatch is a provisional error during the grace period, then KindHashMismatch. A
// checksum file that is unreadable or of an earlier version neither verifies nor fails
// the file; the origin states that.
func (o sidecarCheck) compare(file ingest.File, digest func(algo string) (string, error)) (origin string, err error) {
	grace := time.Now().Before(o.until)
	switch {
	case o.name == "":
		return originTransfer, nil
	case o.why != "" && o.premature && grace:
		return "", o.pendingError(cmp.Or(o.cause, ingest.KindHashMismatch), file, o.why)
	case o.why != "":
		return o.unverified(o.why), nil
	}
	got, err := digest(o.want.algo)
	label := strings.TrimSuffix(algoLabel(o.want.algo), " ")
	switch {
	case err != nil:
		return "", err
	case got == o.want.digest && ingest.WeakAlgo(o.want.algo):
		return o.name + " (" + label + ", weak)", nil
	case got == o.want.digest:
		return o.name, nil
	case o.want.inexact:
		return o.unverified("has a different digest for a file of this name in another folder or in another case"), nil
	case grace:
		return "", o.pendingError(ingest.KindHashMismatch, file, "does not match yet: "+label+" is "+o.want.digest+" there, computed "+got)
	case o.stale:
		return o.unverified("is of an earlier version: it is older than the file, or existed before it"), nil
	}
	return "", ingest.Errorf(ingest.KindHashMismatch, "%s does not match the partner's %s: %s is %s there, computed %s; ask the partner which one is correct",
		ingest.DisplayPath(file.RemotePath), o.name, label, o.want.digest, got)
}

// fetchSidecar logs in and reads the checksum file, if there is one.
func (a *Activities) fetchSidecar(ctx context.Context, file ingest.File) (_ sidecarCheck, err error) {
	if file.Sidecar.Path == "" {
		return sidecarCheck{}, nil
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return sidecarCheck{}, err
	}
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{StallMessage: noAnswer(server), StallTimeout: sidecarTime + time.Minute, StopsOnDrain: true})
	defer func() { err = watchdog.stop(err) }()
	source, err := a.open(ctx, server)
	if err != nil {
		return sidecarCheck{}, err
	}
	defer func() { _ = source.Close() }()
	return a.checkSidecar(ctx, source, server, file)
}

// checkSidecar reads the checksum file of the file, if there is one.
func (a *Activities) checkSidecar(ctx context.Context, source Source, server ingest.Server, file ingest.File) (sidecarCheck, error) {
	if file.Sidecar.Path == "" {
		return sidecarCheck{}, nil
	}
	o := sidecarCheck{
		name:  ingest.DisplayPath(path.Base(file.Sidecar.Path)),
		until: file.StableSince.Add(max(server.SidecarWait, a.ChecksumWait)),
	}
	text, now, err := a.readSidecar(ctx, source, server, file.Sidecar.Path, a.sidecars.count(file.UUID) > 0)
	o.stale = now.OlderThan(file.ModTime) || file.SidecarStale && now.SameVersion(file.Sidecar)
	switch kind := ingest.KindOf(err); {
	case err == nil:
		a.sidecars.succeeded(file.UUID)
		o.seen = &now
		o.want, o.why = findChecksum(file.Sidecar.Path, text, file.RemotePath)
		o.premature = o.why == sumsEmpty || o.stale
	case kind == ingest.KindNotFound:
		o.why, o.premature = "is missing", true
	case kind.Permanent() && !kind.ServerLevel() && kind != ingest.KindFenced:
		o.why, o.cause, o.premature = "cannot be read: "+ingest.Message(err), kind, kind != ingest.KindInvalid
	case kind == ingest.KindTransient && ctx.Err() == nil:
		return a.sidecarUnreadable(o, file, err)
	default:
		return o, err
	}
	return o, nil
}

const (
	// sidecarTries is the number of consecutive failures to read a checksum file, after
	// a successful login, before the file is ingested without it.
	sidecarTries = 4
	// sidecarTime bounds one attempt, and allows for a server that sends one byte per second.
	sidecarTime = 3 * time.Minute
)

// sidecarUnreadable returns an error with the cause, and after sidecarTries failures a
// sidecarCheck without a digest.
func (a *Activities) sidecarUnreadable(o sidecarCheck, file ingest.File, err error) (sidecarCheck, error) {
	if tries := a.sidecars.failed(file.UUID); tries < sidecarTries {
		return o, ingest.Wrap(ingest.KindTransient, err,
			"the checksum file %s cannot be read: %s; ask the partner to fix or remove it; attempt %d of %d, then the file is ingested as not verified",
			o.name, ingest.Message(err), tries, sidecarTries)
	}
	o.why, o.premature, o.sessionLost = "cannot be read: "+ingest.Message(err), true, true
	return o, nil
}

// maxSidecarBytes bounds a checksum file: a SHA256SUMS with 10,000 long names fits.
const maxSidecarBytes = 4 << 20

// readSidecar reads a checksum file; carefully, with small reads, after a failure. A file
// longer than stated is KindChanged, because its entry may be in the rest.
func (a *Activities) readSidecar(ctx context.Context, source Source, server ingest.Server, sidecar string, carefully bool) (text []byte, now ingest.Companion, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sidecarTime, ingest.Errorf(ingest.KindTransient, "reading took longer than %s", sidecarTime))
	defer cancel()
	seen, err := source.Stat(ctx, sidecar)
	if err != nil {
		return nil, now, err
	}
	now = ingest.Companion{Path: sidecar, Size: seen.Size, ModTime: seen.ModTime}
	switch {
	case seen.Rejected != "":
		return nil, now, ingest.Errorf(ingest.KindInvalid, "it %s", seen.Rejected)
	case seen.Size > maxSidecarBytes:
		return nil, now, ingest.Errorf(ingest.KindInvalid, "its size is %d bytes, the limit is %d", seen.Size, maxSidecarBytes)
	}
	remote, err := source.OpenFile(ctx, sidecar)
	if err != nil {
		return nil, now, err
	}
	defer func() { _ = remote.Close() }()
	if carefully {
		text, err = readChunks(remote, seen.Size)
	} else {
		text, _, err = a.Memory.ReadWhole(ctx, limited(server, remote, seen.Size), seen.Size, 0, time.Duration(server.AnswerTimeout))
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return text, now, err
}
