package activities

import (
	"context"
	"crypto/md5" //nolint:gosec // partners' checksum files use it; never a proof by itself
	"encoding/hex"
	"errors"
	"io"
	"path"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// VerifyHashInput names the staged file and the host it is on.
type VerifyHashInput struct {
	FileUUID string `json:"file_uuid"`
	// HostQueue is the queue of the host that staged the file.
	HostQueue string `json:"host_queue"`
}

// localVerifyBytes is the largest file whose staged bytes are read again within a
// workflow task; even a slow disk does it in a second.
const localVerifyBytes = 16 << 20

// VerifyHash compares the hash that was computed while the bytes came in with the
// partner's checksum file, where the server offers one. The staged bytes are read
// again only when that uses another algorithm; whether they still have the
// hash is checked while they are uploaded, before the object becomes visible.
// What fails is discarded, so that nothing but a fresh download can follow.
func (a *Activities) VerifyHash(ctx context.Context, in VerifyHashInput) error {
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	err = a.verify(ctx, file, in.HostQueue == a.hostQueue())
	if errors.Is(err, errOtherHost) {
		return temporal.NewNonRetryableApplicationError("the staged bytes must be read again on their host", TypeOtherHost, nil)
	}
	if ingest.KindOf(err) == ingest.KindHashMismatch && in.HostQueue == a.hostQueue() {
		err = errors.Join(err, a.Staging.Discard(file.UUID))
	}
	return a.settle(ctx, ingest.StepVerify, file, err)
}

// errOtherHost: the staged bytes are needed and cannot be read here and now.
var errOtherHost = errors.New("staged bytes are needed")

func (a *Activities) verify(ctx context.Context, file ingest.File, here bool) error {
	if stored(file) {
		return nil
	}
	want, origin, err := a.fetchChecksum(ctx, file)
	if err != nil {
		return err
	}
	err = want.compare(file, origin, func(algo string) (string, error) {
		if algo == file.HashAlgo {
			return file.Hash, nil
		}
		if !here || activity.GetInfo(ctx).IsLocalActivity && file.Size > localVerifyBytes {
			return "", errOtherHost
		}
		return a.stagedDigest(ctx, file, algo)
	})
	if err != nil {
		return err
	}
	return a.apply(ctx, file, ingest.Verified(file, origin))
}

// stagedDigest reads the staged bytes again and checks their count.
func (a *Activities) stagedDigest(ctx context.Context, file ingest.File, algo string) (digest string, err error) {
	ctx, motion := a.watchAs(ctx, watched{Total: file.Size, Yields: true})
	defer func() { err = motion.stop(err) }()
	size, digests, err := a.Staging.Digests(ctx, file.UUID, motion.report, algo)
	if err == nil && size != file.Size {
		err = ingest.Errorf(ingest.KindHashMismatch, "%d bytes are staged of %d", size, file.Size)
	}
	return digests[algo], err
}

// fetchChecksum logs in for the checksum file, if the server offers one.
func (a *Activities) fetchChecksum(ctx context.Context, file ingest.File) (want checksum, origin string, err error) {
	if file.Sidecar == "" {
		return checksum{}, originTransfer, nil
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return checksum{}, "", err
	}
	source, err := a.open(ctx, server)
	if err != nil {
		return checksum{}, "", err
	}
	defer func() { _ = source.Close() }()
	return offeredChecksum(ctx, source, file)
}

// maxSidecarBytes bounds a checksum file: a SHA256SUMS of 10,000 long names fits.
const maxSidecarBytes = 4 << 20

// originTransfer is the origin of a hash that only the transfer itself proves.
const originTransfer = "transfer"

// offeredChecksum reads the checksum that the server offers for the file, and
// returns the name of the file it is from. Without one the origin is "transfer".
func offeredChecksum(ctx context.Context, source Source, file ingest.File) (want checksum, origin string, err error) {
	if file.Sidecar == "" {
		return checksum{}, originTransfer, nil
	}
	text, err := readSidecar(ctx, source, file.Sidecar)
	if ingest.KindOf(err) == ingest.KindNotFound {
		return checksum{}, originTransfer, nil
	}
	if err != nil {
		return checksum{}, "", err
	}
	name := ingest.DisplayPath(path.Base(file.Sidecar))
	want, ok := findChecksum(file.Sidecar, text, path.Base(file.RemotePath))
	if !ok {
		return checksum{}, originTransfer + " (" + name + " does not list it)", nil
	}
	return want, name, nil
}

// compare returns KindHashMismatch unless the file's digest by the checksum's
// algorithm is the one expected. No checksum agrees with everything.
func (want checksum) compare(file ingest.File, origin string, digest func(algo string) (string, error)) error {
	if want == (checksum{}) {
		return nil
	}
	got, err := digest(want.algo)
	if err == nil && got != want.digest {
		err = ingest.Errorf(ingest.KindHashMismatch, "%s does not match the partner's %s: %s is %s there, %s here; ask the partner which is right",
			ingest.DisplayPath(file.RemotePath), origin, want.algo, want.digest, got)
	}
	return err
}

// digestsOf computes digests of bytes in memory whose SHA-256 is known.
func digestsOf(content []byte, sha256 string) func(algo string) (string, error) {
	return func(algo string) (string, error) {
		if algo == "sha256" {
			return sha256, nil
		}
		sum := md5.Sum(content) //nolint:gosec // partners' checksum files use it; never a proof by itself
		return hex.EncodeToString(sum[:]), nil
	}
}

func readSidecar(ctx context.Context, source Source, sidecar string) ([]byte, error) {
	seen, err := source.Stat(ctx, sidecar)
	if err != nil {
		return nil, err
	}
	if seen.Size > maxSidecarBytes {
		return nil, ingest.Errorf(ingest.KindInvalid, "checksum file %s has %d bytes, more than %d: ask the partner to split it",
			ingest.DisplayPath(sidecar), seen.Size, maxSidecarBytes)
	}
	remote, err := source.OpenFile(ctx, sidecar)
	if err != nil {
		return nil, err
	}
	defer func() { _ = remote.Close() }()
	return readChunks(remote, seen.Size)
}

// readChunk is the most one SFTP read may ask for: servers answer larger
// requests with less than asked.
const readChunk = 32 << 10

func readChunks(r io.ReaderAt, size int64) ([]byte, error) {
	text := make([]byte, size)
	for off := int64(0); off < size; {
		end := min(off+readChunk, size)
		n, err := r.ReadAt(text[off:end], off)
		off += int64(n)
		if err != nil && off < end {
			return nil, ingest.Wrap(ingest.KindTransient, err, "read the checksum file at byte %d", off)
		}
	}
	return text, nil
}
