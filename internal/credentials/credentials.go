// Package credentials encrypts the credentials of partners' servers, so that the
// database and its backups contain no usable secrets.
//
// An encrypted value is bound to its place and its receiver: it can be decrypted
// only as the same field of the same server with the same host, port, user name
// and host keys. A value that was moved to another row, or whose row was pointed
// at another host, is rejected, because the partner's password would be sent to
// another receiver.
package credentials

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"

	"stevedore/internal/ingest"
)

// The encrypted fields of a server.
const (
	FieldPassword   = "password"
	FieldPrivateKey = "private_key"
)

// Sealer encrypts and decrypts with the keys of one keyset file. It reloads the
// file when it is replaced by one with more keys, see Rotate. It is safe for
// concurrent use.
type Sealer struct {
	path string
	ring atomic.Pointer[ring]
}

// ring is a loaded keyset.
type ring struct {
	aead tink.AEAD
	// keys are the ids of the keys in the set, to distinguish "encrypted by another
	// keyset" from "encrypted for another row".
	keys map[uint32]bool
	// primary is the id of the encryption key.
	primary uint32
	file    os.FileInfo
}

// Open reads the keyset file, which must be a regular file readable only by its
// owner. Errors contain the remedy.
func Open(path string) (*Sealer, error) {
	read, err := readRing(path)
	if err != nil {
		return nil, err
	}
	v := &Sealer{path: path}
	v.ring.Store(read)
	return v, nil
}

func readRing(path string) (*ring, error) {
	// Stat first: a file that is replaced in between is read again later.
	file, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s cannot be inspected", path)
	}
	handle, err := load(path)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s contains no usable encryption keys: restore it from your backup", path)
	}
	keys := make(map[uint32]bool, handle.Len())
	for i := range handle.Len() {
		entry, err := handle.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("read key %d of keyset file %s: %w", i, path, err)
		}
		keys[entry.KeyID()] = true
	}
	primary, err := handle.Primary()
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s has no primary key: restore it from your backup", path)
	}
	return &ring{aead: primitive, keys: keys, primary: primary.KeyID(), file: file}, nil
}

// reread returns the keys of the file if it was replaced and is readable, and
// otherwise the loaded keys.
func (v *Sealer) reread() (candidate *ring, replaced bool) {
	known := v.ring.Load()
	file, err := os.Stat(v.path)
	if err != nil || known.file != nil && os.SameFile(file, known.file) && file.ModTime().Equal(known.file.ModTime()) {
		return known, false
	}
	if read, err := readRing(v.path); err == nil {
		return read, true
	}
	return known, false
}

// current returns the keys for encryption. A replaced file is accepted only if it
// decrypts values of the loaded keys: with the keys of another installation the
// values would be unreadable for everyone else.
func (v *Sealer) current() (*ring, error) {
	known := v.ring.Load()
	candidate, replaced := v.reread()
	if !replaced {
		return known, nil
	}
	if !candidate.succeeds(known) {
		return nil, ingest.Errorf(ingest.KindInvalid,
			"keyset file %s was replaced by one that does not decrypt existing values: restore the right file, or restart after a key was retired", v.path)
	}
	v.ring.Store(candidate)
	return candidate, nil
}

// succeeds reports whether r decrypts values of the earlier keys.
func (r *ring) succeeds(earlier *ring) bool {
	probe := []byte("probe")
	sealed, err := earlier.aead.Encrypt(probe, probe)
	if err != nil {
		return false
	}
	_, err = r.aead.Decrypt(sealed, probe)
	return err == nil
}

// AllCurrent reports whether all credentials of the server are encrypted with the primary key.
// It returns an error if one cannot be decrypted.
func (v *Sealer) AllCurrent(server ingest.Server) (bool, error) {
	if _, err := v.openAll(server); err != nil {
		return false, err
	}
	return v.fieldCurrent(server.PasswordEncrypted) && v.fieldCurrent(server.PrivateKeyEncrypted), nil
}

func (v *Sealer) fieldCurrent(sealed []byte) bool { return len(sealed) == 0 || v.Current(sealed) }

// Current reports whether the value is encrypted with the primary key.
func (v *Sealer) Current(sealed []byte) bool {
	id, ok := keyID(sealed)
	keys, err := v.current()
	if err != nil {
		keys = v.ring.Load()
	}
	return ok && id == keys.primary
}

// Rotate adds a fresh key to the file, see the function Rotate, and loads it.
func (v *Sealer) Rotate() error {
	if err := Rotate(v.path); err != nil {
		return err
	}
	read, err := readRing(v.path)
	if err == nil {
		v.ring.Store(read)
	}
	return err
}

// Seal encrypts plaintext as the field of the server, bound to WhereOf(server). An empty
// plaintext is encrypted, too; callers store nothing instead. If the keyset file was
// replaced by another installation's, the error is KindInvalid.
func (v *Sealer) Seal(field string, server ingest.Server, plaintext []byte) ([]byte, error) {
	keys, err := v.current()
	if err != nil {
		return nil, err
	}
	sealed, err := keys.aead.Encrypt(plaintext, place(field, server))
	if err != nil {
		return nil, fmt.Errorf("encrypt %s of server %s: %w", field, server.UUID, err)
	}
	return sealed, nil
}

// SealAll encrypts the credentials as those of the server, which it returns. Empty credentials
// leave the server's own.
func (v *Sealer) SealAll(server ingest.Server, creds ingest.Credentials) (_ ingest.Server, err error) {
	if len(creds.Password) > 0 {
		if server.PasswordEncrypted, err = v.Seal(FieldPassword, server, creds.Password); err != nil {
			return server, err
		}
	}
	if len(creds.PrivateKey) > 0 {
		server.PrivateKeyEncrypted, err = v.Seal(FieldPrivateKey, server, creds.PrivateKey)
	}
	return server, err
}

// Open decrypts a value that Seal returned for the same field and server. The
// error is KindMissing when the keyset lacks the key, which another worker or a
// restored file may have. It is KindInvalid when the value is damaged or was
// encrypted for another server, field or binding.
func (v *Sealer) Open(field string, server ingest.Server, sealed []byte) ([]byte, error) {
	keys := v.ring.Load()
	id, ok := keyID(sealed)
	if ok && !keys.keys[id] {
		// The key may have been added since. A file without it is ignored.
		if read, _ := v.reread(); read.keys[id] {
			keys = read
			v.ring.Store(read)
		}
	}
	plaintext, err := keys.aead.Decrypt(sealed, place(field, server))
	if err == nil {
		return plaintext, nil
	}
	if ok && !keys.keys[id] {
		return nil, ingest.Errorf(ingest.KindMissing,
			"%s of server %s is encrypted with key %d, which keyset file %s does not contain: restore the keyset file with that key, or enter the credentials again with `stevedore server edit`",
			field, server.UUID, id, v.path)
	}
	if _, err := keys.aead.Decrypt(sealed, unboundPlace(field, server)); err == nil {
		return nil, ingest.Errorf(ingest.KindInvalid,
			"%s of server %s was encrypted by an older version without binding to the host: set it again", field, server.UUID)
	}
	return nil, ingest.Errorf(ingest.KindInvalid,
		"%s of server %s cannot be decrypted and was not sent: it was not set for %s@%s, port %d, with these host keys, proxy and jump host, or it is damaged or belongs to another server or field; check who changed the row, then set it again with `stevedore server edit`",
		field, server.UUID, server.Username, server.Host, server.Port)
}

// Credentials decrypts the secrets of the server. Unused fields stay empty.
func (v *Sealer) Credentials(_ context.Context, server ingest.Server) (ingest.Credentials, error) {
	return v.openAll(server)
}

func (v *Sealer) openAll(server ingest.Server) (ingest.Credentials, error) {
	var creds ingest.Credentials
	var err error
	if len(server.PasswordEncrypted) > 0 {
		if creds.Password, err = v.Open(FieldPassword, server, server.PasswordEncrypted); err != nil {
			return ingest.Credentials{}, err
		}
	}
	if len(server.PrivateKeyEncrypted) > 0 {
		if creds.PrivateKey, err = v.Open(FieldPrivateKey, server, server.PrivateKeyEncrypted); err != nil {
			return ingest.Credentials{}, err
		}
	}
	return creds, nil
}

// keyID returns the id of the key of an encrypted value: Tink puts one version
// byte and the id, big-endian, before the ciphertext.
func keyID(sealed []byte) (uint32, bool) {
	const version, prefix = 1, 5
	if len(sealed) < prefix || sealed[0] != version {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefix]), true
}

// load reads a keyset file after checking that only its owner can.
func load(path string) (*keyset.Handle, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.Errorf(ingest.KindMissing, "keyset file %s does not exist: run `stevedore setup` to create it, or restore it from your backup", path)
	}
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s cannot be opened", path)
	}
	defer func() { _ = file.Close() }() // only read
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat keyset file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s can be read by others (mode %04o): run `chmod 600 %s`", path, mode, path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(file))
	if err != nil {
		// The cause is omitted: a parser may quote the content.
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s is damaged: restore it from your backup", path)
	}
	return handle, nil
}
