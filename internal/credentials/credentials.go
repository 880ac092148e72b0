// Package credentials seals the credentials of partners' servers, so that the
// database and its backups hold nothing a thief could log in with.
//
// A sealed value is bound to the place it belongs to and to where it may be sent:
// it opens only as the same field of the same server with the same host, port,
// user name and host keys. Moving it to another row, or pointing its row at another
// host, would send a partner's password to somebody else, and is refused.
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

// The fields of a server that are sealed.
const (
	FieldPassword   = "password"
	FieldPrivateKey = "private_key"
)

// Sealer seals and opens with the keys of one keyset file. When the file is
// replaced by one with more keys, see Rotate, it takes them up. It is safe for
// concurrent use.
type Sealer struct {
	path string
	ring atomic.Pointer[ring]
}

// ring is the keyset as it was read.
type ring struct {
	aead tink.AEAD
	// keys holds the ids of the keys in the set, to tell "sealed by another
	// keyset" from "sealed for another row".
	keys map[uint32]bool
	// primary is the id of the key that seals.
	primary uint32
	file    os.FileInfo
}

// Open reads the keyset file. The file must be a regular file that only its
// owner can read; anything else is an error that says how to mend it.
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
	// Looked at first: a file that is replaced in between is read again later.
	file, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s cannot be looked at", path)
	}
	handle, err := load(path)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s holds no usable encryption keys: restore it from your backup", path)
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
		return nil, ingest.Wrap(ingest.KindInvalid, err, "keyset file %s names no key to seal with: restore it from your backup", path)
	}
	return &ring{aead: primitive, keys: keys, primary: primary.KeyID(), file: file}, nil
}

// reread returns the keys of the file if it was replaced, and otherwise, or when
// it cannot be read, those that are known.
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

// current returns the keys to seal with. A file that was replaced is taken up only
// if it still opens what the known keys sealed: the keys of another installation
// would seal what nobody else can open.
func (v *Sealer) current() (*ring, error) {
	known := v.ring.Load()
	candidate, replaced := v.reread()
	if !replaced {
		return known, nil
	}
	if !candidate.succeeds(known) {
		return nil, ingest.Errorf(ingest.KindInvalid,
			"keyset file %s was replaced by one that does not open what was sealed before: put the right file back, or restart after a key was retired", v.path)
	}
	v.ring.Store(candidate)
	return candidate, nil
}

// succeeds reports whether r opens what the earlier keys seal.
func (r *ring) succeeds(earlier *ring) bool {
	probe := []byte("probe")
	sealed, err := earlier.aead.Encrypt(probe, probe)
	if err != nil {
		return false
	}
	_, err = r.aead.Decrypt(sealed, probe)
	return err == nil
}

// Current reports whether the value was sealed with the key that seals now.
func (v *Sealer) Current(sealed []byte) bool {
	id, ok := keyID(sealed)
	keys, err := v.current()
	if err != nil {
		keys = v.ring.Load()
	}
	return ok && id == keys.primary
}

// Rotate adds a fresh key to the file, see the function, and takes it up.
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

// Seal encrypts plaintext as the field of the server, bound to WhereOf it. An empty
// plaintext is sealed, too; callers that mean "none" store nothing. A keyset file
// that was replaced by that of another installation is refused with KindInvalid.
func (v *Sealer) Seal(field string, server ingest.Server, plaintext []byte) ([]byte, error) {
	keys, err := v.current()
	if err != nil {
		return nil, err
	}
	sealed, err := keys.aead.Encrypt(plaintext, place(field, server))
	if err != nil {
		return nil, fmt.Errorf("seal %s of server %s: %w", field, server.UUID, err)
	}
	return sealed, nil
}

// Open decrypts what Seal made for the same field and server. The error is of
// KindMissing when this keyset lacks the key, because another worker or a
// restored file may have it, and of KindInvalid when the value was sealed for
// another server, field or WhereOf, or is damaged.
func (v *Sealer) Open(field string, server ingest.Server, sealed []byte) ([]byte, error) {
	keys := v.ring.Load()
	id, ok := keyID(sealed)
	if ok && !keys.keys[id] {
		// It may have been added since. A file without it teaches nothing.
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
			"%s of server %s was sealed with key %d, which keyset file %s does not hold: restore the keyset file it was sealed with",
			field, server.UUID, id, v.path)
	}
	if _, err := keys.aead.Decrypt(sealed, unboundPlace(field, server)); err == nil {
		return nil, ingest.Errorf(ingest.KindInvalid,
			"%s of server %s was sealed by an older version, which did not bind it to its host: set it again", field, server.UUID)
	}
	return nil, ingest.Errorf(ingest.KindInvalid,
		"%s of server %s cannot be opened and was sent to nobody: it was not set for %s@%s, port %d, with these host keys, proxy and jump host, or it is damaged or belongs to another server or field; check who changed the row, then set it again with `stevedore server edit`",
		field, server.UUID, server.Username, server.Host, server.Port)
}

// Credentials opens the secrets of the server. Fields the server does not use
// stay empty.
func (v *Sealer) Credentials(_ context.Context, server ingest.Server) (ingest.Credentials, error) {
	return v.openAll(server)
}

func (v *Sealer) openAll(server ingest.Server) (ingest.Credentials, error) {
	var creds ingest.Credentials
	for _, secret := range []struct {
		field  string
		sealed []byte
		to     *[]byte
	}{
		{FieldPassword, server.PasswordEncrypted, &creds.Password},
		{FieldPrivateKey, server.PrivateKeyEncrypted, &creds.PrivateKey},
	} {
		if len(secret.sealed) == 0 {
			continue
		}
		plaintext, err := v.Open(secret.field, server, secret.sealed)
		if err != nil {
			return ingest.Credentials{}, err
		}
		*secret.to = plaintext
	}
	return creds, nil
}

// keyID returns the id of the key a value was sealed with: Tink puts one
// version byte and the id, big-endian, before the ciphertext.
func keyID(sealed []byte) (uint32, bool) {
	const version, prefix = 1, 5
	if len(sealed) < prefix || sealed[0] != version {
		return 0, false
	}
	return binary.BigEndian.Uint32(sealed[1:prefix]), true
}

// load reads a keyset file after checking that nobody else can.
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
		return nil, fmt.Errorf("look at keyset file %s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s can be read by others (mode %04o): run `chmod 600 %s`", path, mode, path)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(file))
	if err != nil {
		// The cause is left out: a parser may quote what it read.
		return nil, ingest.Errorf(ingest.KindInvalid, "keyset file %s is damaged: restore it from your backup", path)
	}
	return handle, nil
}
