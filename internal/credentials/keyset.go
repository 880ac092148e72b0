package credentials

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"golang.org/x/sys/unix"

	"stevedore/internal/ingest"
)

// keysetMode allows only the owner to read and write.
const keysetMode = 0o600

// Generate creates a keyset file with one fresh AES-256-GCM key, mode 0600. It
// never overwrites a file, because a lost keyset makes all its credentials
// unreadable: for an existing path the error is KindConflict and satisfies
// errors.Is(err, fs.ErrExist). The file appears atomically.
func Generate(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("create an encryption key: %w", err)
	}
	temp, err := stage(path, handle)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	// Link, unlike Rename, fails for an existing name.
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		return ingest.Wrap(ingest.KindConflict, fs.ErrExist, "keyset file %s exists already and was not changed", path)
	} else if err != nil {
		return fmt.Errorf("create keyset file %s: %w", path, err)
	}
	return syncFolder(path)
}

// Rotate adds a fresh key to the keyset file and makes it primary. Older keys are
// kept, so that existing values, also in backups, stay readable. A lock serializes
// rotations, so that no key is lost. An open Sealer detects the new file when it
// next needs it.
func Rotate(path string) error {
	unlock, err := lockFolder(path)
	if err != nil {
		return err
	}
	defer unlock()
	handle, err := load(path)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := manager.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("create an encryption key: %w", err)
	}
	if err := manager.SetPrimary(id); err != nil {
		return fmt.Errorf("make key %d the primary key: %w", id, err)
	}
	rotated, err := manager.Handle()
	if err != nil {
		return fmt.Errorf("assemble the rotated keyset: %w", err)
	}
	temp, err := stage(path, rotated)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("replace keyset file %s: %w", path, err)
	}
	return syncFolder(path)
}

// lockFolder locks the folder of path against other rotations. The lock ends with
// the process and leaves no file.
func lockFolder(path string) (unlock func(), err error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "the folder of keyset file %s cannot be opened", path)
	}
	for {
		err = unix.Flock(int(folder.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		_ = folder.Close()
		return nil, fmt.Errorf("lock the folder of keyset file %s: %w", path, err)
	}
	return func() { _ = folder.Close() }, nil
}

// stage writes the keyset to a synced temporary file in the folder of path.
func stage(path string, handle *keyset.Handle) (temp string, err error) {
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return "", fmt.Errorf("encode the keyset: %w", err)
	}
	// CreateTemp creates the file with mode 0600 before the first byte is written.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", ingest.Wrap(ingest.KindInvalid, err, "cannot write to the folder of keyset file %s: create the folder, owned by this user", path)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content.Bytes())
	err = errors.Join(err, file.Chmod(keysetMode), file.Sync(), file.Close())
	if err != nil {
		return "", fmt.Errorf("write keyset file %s: %w", path, err)
	}
	return file.Name(), nil
}

// syncFolder makes a new directory entry durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open the folder of %s: %w", path, err)
	}
	defer func() { _ = folder.Close() }()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", path, err)
	}
	return nil
}
