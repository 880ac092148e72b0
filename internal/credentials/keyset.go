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

// keysetMode lets the owner alone read and write.
const keysetMode = 0o600

// Generate creates a keyset file with one fresh AES-256-GCM key, mode 0600.
// It never overwrites: when the path is taken the error is of KindConflict and
// satisfies errors.Is(err, fs.ErrExist), because losing a keyset means losing
// every credential sealed with it. The file appears whole or not at all.
func Generate(path string) error {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return fmt.Errorf("make an encryption key: %w", err)
	}
	temp, err := stage(path, handle)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	// Link, unlike Rename, fails when the name is taken.
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		return ingest.Wrap(ingest.KindConflict, fs.ErrExist, "keyset file %s exists already and is kept", path)
	} else if err != nil {
		return fmt.Errorf("create keyset file %s: %w", path, err)
	}
	return syncFolder(path)
}

// Rotate adds a fresh key to the keyset file and makes it the one that seals.
// Older keys stay, so what they sealed still opens, in backups of the database,
// too. Rotations wait for each other: none can lose another's key. A Sealer that
// is open notices the new file when it next needs it.
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
		return fmt.Errorf("make an encryption key: %w", err)
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

// lockFolder keeps other rotations out of the folder that holds path. The lock
// goes with the process, and leaves no file behind.
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

// stage writes the keyset to a synced temporary file beside path.
func stage(path string, handle *keyset.Handle) (temp string, err error) {
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		return "", fmt.Errorf("encode the keyset: %w", err)
	}
	// CreateTemp makes the file with mode 0600 before the first byte is in it.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", ingest.Wrap(ingest.KindInvalid, err, "cannot write beside keyset file %s: create the folder, owned by this user", path)
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

// syncFolder makes a new directory entry survive a power cut.
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
