package activities

import (
	"context"
	"errors"
	"io"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// VerifyHashInput names the staged file and its host.
type VerifyHashInput struct {
	FileUUID string `json:"file_uuid"`
	// HostQueue is the queue of the host that staged the file.
	HostQueue string `json:"host_queue"`
}

// localVerifyBytes is the size limit for reading staged bytes again within a workflow
// task; a slow disk needs a second for it.
const localVerifyBytes = 16 << 20

// VerifyHash compares the hash computed during the download with the partner's checksum
// file, if there is one. It reads the staged bytes again only for another algorithm;
// Upload checks them before the object becomes visible. After a mismatch it discards the
// staged bytes, so that they are fetched again.
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

// errOtherHost: the staged bytes are needed, on their host or outside a workflow task.
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

// stagedDigest reads the staged bytes again and checks their number.
func (a *Activities) stagedDigest(ctx context.Context, file ingest.File, algo string) (digest string, err error) {
	ctx, watchdog := a.startWatchdog(ctx, watchOptions{Total: file.Size, StopsOnDrain: true})
	defer func() { err = watchdog.stop(err) }()
	size, digests, err := a.Staging.Digests(ctx, file.UUID, watchdog.report, algo)
	if err == nil && size != file.Size {
		err = ingest.Errorf(ingest.KindHashMismatch, "%d of %d bytes are staged", size, file.Size)
	}
	return digests[algo], err
}

// digestsOf returns a function that computes digests of content, whose SHA-256 is given.
func (a *Activities) digestsOf(content []byte, sha256 string) func(algo string) (string, error) {
	return func(algo string) (string, error) {
		if algo == ingest.AlgoSHA256 {
			return sha256, nil
		}
		return a.Memory.Sum(content, algo)
	}
}

// readChunks reads in small pieces: a server that sends a byte at a time would exceed the
// answer timeout with larger ones. A byte after the end is KindChanged.
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
			return nil, ingest.Errorf(ingest.KindChanged, "the server states %d bytes, but the file is longer", size)
		case off == size && end > size:
			return text[:size], nil
		case err != nil && off < end:
			return nil, ingest.Wrap(ingest.KindTransient, err, "at byte %d of %d: %s", off, size, ingest.Message(err))
		}
	}
	return text[:size], nil
}
