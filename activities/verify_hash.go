package activities

import (
	"context"
	"errors"
	"io"

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
	return a.finishStep(ctx, ingest.StepVerify, file, err)
}

// errOtherHost: the staged bytes are needed and cannot be read here and now.
var errOtherHost = errors.New("staged bytes are needed")

func (a *Activities) verify(ctx context.Context, file ingest.File, here bool) error {
	if stored(file) {
		return nil
	}
	found, err := a.fetchSidecar(ctx, file)
	if err != nil {
		return err
	}
	origin, err := found.compare(file, func(algo string) (string, error) {
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
	change := ingest.Verified(file, origin)
	change.Set.Sidecar = found.seen
	return a.apply(ctx, file, change)
}

// stagedDigest reads the staged bytes again and checks their count.
func (a *Activities) stagedDigest(ctx context.Context, file ingest.File, algo string) (digest string, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StopsOnDrain: true})
	defer func() { err = watchdog.stop(err) }()
	size, digests, err := a.Staging.Digests(ctx, file.UUID, watchdog.report, algo)
	if err == nil && size != file.Size {
		err = ingest.Errorf(ingest.KindHashMismatch, "%d bytes are staged of %d", size, file.Size)
	}
	return digests[algo], err
}

// digestsOf computes digests of bytes in memory whose SHA-256 is known.
func (a *Activities) digestsOf(content []byte, sha256 string) func(algo string) (string, error) {
	return func(algo string) (string, error) {
		if algo == ingest.AlgoSHA256 {
			return sha256, nil
		}
		return a.Memory.Sum(content, algo)
	}
}

// readChunks reads in small pieces: from a server that answers with a byte at a time a
// larger one would not be through before the connection counts as dead. A byte behind
// the end is KindChanged.
func readChunks(r io.ReaderAt, size int64) ([]byte, error) {
	text, chunk := make([]byte, size+1), max(size/64, 1)
	for off := int64(0); off <= size; {
		end := min(off+chunk, size)
		if off == size {
			end++
		}
		n, err := r.ReadAt(text[off:end], off)
		switch off += int64(n); {
		case off > size:
			return nil, ingest.Errorf(ingest.KindChanged, "the server states %d bytes, but it goes on", size)
		case off == size && end > size:
			return text[:size], nil
		case err != nil && off < end:
			return nil, ingest.Wrap(ingest.KindTransient, err, "at byte %d of %d: %s", off, size, message(err))
		}
	}
	return text[:size], nil
}
