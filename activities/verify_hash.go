package activities

import (
	"context"
	"errors"
	"io"
	"path"

	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
)

// VerifyHashInput names the staged file and the host it is on.
type VerifyHashInput struct {
	FileUUID string `json:"file_uuid"`
	// HostQueue is the queue of the host that staged the file.
	HostQueue string `json:"host_queue"`
}

// VerifyHash re-reads the staged bytes and compares them with the size in the
// ledger, with the hash computed while they came in and, where the server
// offers one, with its own checksum file. What fails is discarded, so that
// nothing but a fresh download can follow.
func (a *Activities) VerifyHash(ctx context.Context, in VerifyHashInput) error {
	if in.HostQueue != a.hostQueue() {
		return temporal.NewNonRetryableApplicationError("the staged file is on another host", TypeOtherHost, nil)
	}
	file, err := a.Ledger.Claim(ctx, in.FileUUID)
	if err != nil {
		return applicationError(err)
	}
	err = a.verify(ctx, file)
	if ingest.KindOf(err) == ingest.KindHashMismatch {
		err = errors.Join(err, a.Staging.Discard(file.UUID))
	}
	return a.settle(ctx, ingest.StepVerify, file, err)
}

func (a *Activities) verify(ctx context.Context, file ingest.File) error {
	if stored(file) {
		return nil
	}
	if _, err := a.Staging.Staged(ctx, file.UUID); err != nil {
		return err
	}
	want, source, err := a.offeredChecksum(ctx, file)
	if err != nil {
		return err
	}
	digests, err := a.digests(ctx, file, want.algo)
	if err != nil {
		return err
	}
	if digests["sha256"] != file.Hash {
		return ingest.Errorf(ingest.KindHashMismatch, "staged bytes of %s changed after the download: sha256 is %s, was %s; check the staging disk",
			ingest.DisplayPath(file.RemotePath), digests["sha256"], file.Hash)
	}
	if want.algo != "" && digests[want.algo] != want.digest {
		return ingest.Errorf(ingest.KindHashMismatch, "%s does not match the partner's %s: %s is %s there, %s here; ask the partner which is right",
			ingest.DisplayPath(file.RemotePath), source, want.algo, want.digest, digests[want.algo])
	}
	return a.Ledger.Apply(ctx, ingest.Change{
		FileUUID: file.UUID, Fence: file.Fence, To: ingest.StatusVerified,
		Events: []ingest.Event{{
			Type: ingest.EventVerified, Key: file.Hash,
			Details: map[string]any{"algo": file.HashAlgo, "hash": file.Hash, "source": source},
		}},
		Set: ingest.Columns{Error: &ingest.Failure{}},
	})
}

// digests re-reads the staged bytes and checks their count.
func (a *Activities) digests(ctx context.Context, file ingest.File, also string) (digests map[string]string, err error) {
	algos := []string{"sha256"}
	if also != "" && also != "sha256" {
		algos = append(algos, also)
	}
	ctx, motion := a.watchAs(ctx, watched{Total: file.Size, Yields: true})
	defer func() { err = motion.stop(err) }()
	size, digests, err := a.Staging.Digests(ctx, file.UUID, motion.report, algos...)
	if err == nil && size != file.Size {
		err = ingest.Errorf(ingest.KindHashMismatch, "%d bytes are staged of %d", size, file.Size)
	}
	return digests, err
}

// maxSidecarBytes bounds a checksum file: a SHA256SUMS of 10,000 long names fits.
const maxSidecarBytes = 4 << 20

// offeredChecksum reads the checksum the server offers for the file. Without
// one, source is "transfer": the hash computed in flight is all there is.
func (a *Activities) offeredChecksum(ctx context.Context, file ingest.File) (want checksum, source string, err error) {
	if file.Sidecar == "" {
		return checksum{}, "transfer", nil
	}
	server, err := a.Ledger.Server(ctx, file.ServerUUID)
	if err != nil {
		return checksum{}, "", err
	}
	text, err := a.readSidecar(ctx, server, file.Sidecar)
	if ingest.KindOf(err) == ingest.KindNotFound {
		return checksum{}, "transfer", nil
	}
	if err != nil {
		return checksum{}, "", err
	}
	name := ingest.DisplayPath(path.Base(file.Sidecar))
	want, ok := findChecksum(file.Sidecar, text, path.Base(file.RemotePath))
	if !ok {
		return checksum{}, "transfer (" + name + " does not list it)", nil
	}
	return want, name, nil
}

func (a *Activities) readSidecar(ctx context.Context, server ingest.Server, sidecar string) ([]byte, error) {
	source, err := a.open(ctx, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = source.Close() }()
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
