package activities

import (
	"context"
	"path"
	"strings"
	"time"

	"stevedore/internal/ingest"
)

// offer is what the partner's checksum file says of a file.
type sidecarCheck struct {
	// want is the digest; the zero value where there is none.
	want checksum
	// seen is the checksum file as it was read; nil when none was.
	seen *ingest.Companion
	// name is the checksum file's, for people; empty when the server offers none.
	name string
	// why there is no digest, as what follows the name.
	why string
	// early says that the checksum file may not be what it will be: it is empty,
	// cannot be read, or is of an earlier version.
	premature bool
	// stale says that it is older than the file or was there with an earlier version.
	stale bool
	// broken says that reading it may have cost the connection.
	sessionLost bool
	// until is how long one that does not fit is looked at again.
	until time.Time
}

// originTransfer is the origin of a hash that only the transfer itself proves.
const originTransfer = "transfer"

// unverified is the origin of a hash that was not compared with what the server
// offers for it.
func (o sidecarCheck) unverified(why string) string {
	return originTransfer + " (not verified: " + o.name + " " + why + ")"
}

// notYet is the error of a checksum that does not fit yet: it may be yesterday's, and
// the one of today is on its way.
func (o sidecarCheck) pendingError(file ingest.File, what string) error {
	return provisional{ingest.Errorf(ingest.KindTransient, "the checksum file %s does not fit %s yet: %s; looked at again until %s",
		o.name, ingest.DisplayPath(file.RemotePath), what, o.until.UTC().Format(time.RFC3339)), ingest.KindHashMismatch}
}

// compare returns where the proof of the file's hash is from: the checksum file, if
// it fits. One that does not is an error: to be looked at again for a time, then
// KindHashMismatch. What belongs to an earlier version, or cannot be read, condemns
// nothing and proves nothing: the origin says so.
func (o sidecarCheck) compare(file ingest.File, digest func(algo string) (string, error)) (origin string, err error) {
	early := time.Now().Before(o.until)
	switch {
	case o.name == "":
		return originTransfer, nil
	case o.why != "" && o.premature && early:
		return "", o.pendingError(file, "it "+o.why)
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
		return o.unverified("has a digest that does not fit, of a file of the same name in another folder or other letters"), nil
	case early:
		return "", o.pendingError(file, label+" is "+o.want.digest+" there, "+got+" here")
	case o.stale:
		return o.unverified("is of an earlier version: it is older than the file, or was there before it"), nil
	}
	return "", ingest.Errorf(ingest.KindHashMismatch, "%s does not match the partner's %s: %s is %s there, %s here; ask the partner which is right",
		ingest.DisplayPath(file.RemotePath), o.name, label, o.want.digest, got)
}

// fetchOffer logs in for the checksum file, if the server offers one.
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

// offered reads what the server offers for the file.
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
		o.why, o.premature = "is gone", true
	case kind.Permanent() && !kind.ServerLevel() && kind != ingest.KindFenced:
		o.why, o.premature = "cannot be read: "+message(err), kind != ingest.KindInvalid
	case kind == ingest.KindTransient && ctx.Err() == nil:
		return a.sidecarUnreadable(o, file, err)
	default:
		return o, err
	}
	return o, nil
}

const (
	// sidecarTries is how often in a row reading a checksum file may fail, each time
	// after the server let us in, before the file is taken without it.
	sidecarTries = 4
	// sidecarTime bounds one try: a digest that comes by one byte a second is read.
	sidecarTime = 3 * time.Minute
)

// unreadable is the offer of a server whose checksum file could not be read: an error
// that says so, and after some tries one that has no digest.
func (a *Activities) sidecarUnreadable(o sidecarCheck, file ingest.File, err error) (sidecarCheck, error) {
	if tries := a.sidecars.failed(file.UUID); tries < sidecarTries {
		return o, ingest.Wrap(ingest.KindTransient, err,
			"the checksum file %s cannot be read: %s; ask the partner to mend or remove it; try %d of %d, then the file is taken as not verified",
			o.name, message(err), tries, sidecarTries)
	}
	o.why, o.premature, o.sessionLost = "cannot be read: "+message(err), true, true
	return o, nil
}

// maxSidecarBytes bounds a checksum file: a SHA256SUMS of 10,000 long names fits.
const maxSidecarBytes = 4 << 20

// readSidecar reads a checksum file, carefully where an earlier try has failed. One that is
// longer than the server states is KindChanged: what it says of the file may be in the
// rest.
func (a *Activities) readSidecar(ctx context.Context, source Source, server ingest.Server, sidecar string, carefully bool) (text []byte, now ingest.Companion, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, sidecarTime, ingest.Errorf(ingest.KindTransient, "it took longer than %s", sidecarTime))
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
		return nil, now, ingest.Errorf(ingest.KindInvalid, "it has %d bytes, more than %d", seen.Size, maxSidecarBytes)
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
