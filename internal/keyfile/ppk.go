package keyfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // required by version 2 of the format
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// PuTTY key files, versions 2 and 3: https://the.earth.li/~sgtatham/putty/0.78/htmldoc/AppendixC.html

const ppkMark = "PuTTY-User-Key-File-"

// Limits on the key derivation parameters, because the file is untrusted.
const (
	maxArgonKiB     = 256 << 10
	maxArgonPasses  = 1000
	maxArgonThreads = 64
	maxPPKLines     = 1000
)

var errPPK = errors.New("the PuTTY key file cannot be read: it is damaged, or not of version 2 or 3; convert it with `puttygen KEY.ppk -O private-openssh -o KEY`")

// ppk is a parsed PuTTY key file.
type ppk struct {
	version                        int
	algorithm, encryption, comment string
	public, private                []byte
	fields                         map[string]string
}

// parsePPK returns the private key in a PuTTY key file.
func parsePPK(text, passphrase []byte) (any, error) {
	f, err := readPPK(string(text))
	if err != nil {
		return nil, err
	}
	if f.encryption != "none" && len(passphrase) == 0 {
		return nil, ErrLocked
	}
	if f.encryption == "none" {
		passphrase = nil
	}
	keys, err := f.derive(passphrase)
	if err != nil {
		return nil, err
	}
	if f.encryption != "none" {
		if err := f.decrypt(keys); err != nil {
			return nil, err
		}
	}
	want, err := hex.DecodeString(f.fields["Private-MAC"])
	if err != nil || !hmac.Equal(want, f.mac(keys)) {
		if f.encryption != "none" {
			return nil, ErrWrongPassphrase
		}
		return nil, errPPK
	}
	return f.key()
}

func readPPK(text string) (*ppk, error) {
	f := &ppk{fields: map[string]string{}}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := 0; i < len(lines); i++ {
		name, value, ok := strings.Cut(lines[i], ":")
		if !ok {
			return nil, errPPK
		}
		value = strings.TrimSpace(value)
		f.fields[name] = value
		switch name {
		case ppkMark + "2", ppkMark + "3":
			f.version, f.algorithm = int(name[len(name)-1]-'0'), value
		case "Public-Lines", "Private-Lines":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > maxPPKLines || i+n >= len(lines) {
				return nil, errPPK
			}
			blob, err := base64.StdEncoding.DecodeString(strings.Join(lines[i+1:i+1+n], ""))
			if err != nil {
				return nil, errPPK
			}
			if name == "Public-Lines" {
				f.public = blob
			} else {
				f.private = blob
			}
			i += n
		}
	}
	f.encryption, f.comment = f.fields["Encryption"], f.fields["Comment"]
	if f.version == 0 || f.encryption != "none" && f.encryption != "aes256-cbc" {
		return nil, errPPK
	}
	return f, nil
}

// ppkKeys are the keys derived from the passphrase.
type ppkKeys struct{ cipher, iv, mac []byte }

func (f *ppk) derive(passphrase []byte) (ppkKeys, error) {
	if f.version == 2 {
		first := sha1.Sum(append([]byte{0, 0, 0, 0}, passphrase...))                     //nolint:gosec // see above
		second := sha1.Sum(append([]byte{0, 0, 0, 1}, passphrase...))                    //nolint:gosec // see above
		mac := sha1.Sum(append([]byte("putty-private-key-file-mac-key"), passphrase...)) //nolint:gosec // see above
		return ppkKeys{cipher: append(first[:], second[:]...)[:32], iv: make([]byte, aes.BlockSize), mac: mac[:]}, nil
	}
	if f.encryption == "none" {
		return ppkKeys{}, nil
	}
	memory, err1 := strconv.Atoi(f.fields["Argon2-Memory"])
	passes, err2 := strconv.Atoi(f.fields["Argon2-Passes"])
	threads, err3 := strconv.Atoi(f.fields["Argon2-Parallelism"])
	salt, err4 := hex.DecodeString(f.fields["Argon2-Salt"])
	if errors.Join(err1, err2, err3, err4) != nil || memory < 1 || memory > maxArgonKiB || passes < 1 || passes > maxArgonPasses || threads < 1 || threads > maxArgonThreads {
		return ppkKeys{}, errPPK
	}
	derive := argon2.IDKey
	switch f.fields["Key-Derivation"] {
	case "Argon2id":
	case "Argon2i":
		derive = argon2.Key
	default:
		return ppkKeys{}, errors.New("the PuTTY key file is encrypted with Argon2d, which is not supported: save it again with Argon2id, the default of puttygen")
	}
	out := derive(passphrase, salt, uint32(passes), uint32(memory), uint8(threads), 80) //nolint:gosec // bounded above
	return ppkKeys{cipher: out[:32], iv: out[32:48], mac: out[48:]}, nil
}

func (f *ppk) decrypt(keys ppkKeys) error {
	block, err := aes.NewCipher(keys.cipher)
	if err != nil || len(f.private) == 0 || len(f.private)%aes.BlockSize != 0 {
		return errPPK
	}
	cipher.NewCBCDecrypter(block, keys.iv).CryptBlocks(f.private, f.private)
	return nil
}

// mac returns the authentication code of the file with the decrypted private part.
func (f *ppk) mac(keys ppkKeys) []byte {
	var covered bytes.Buffer
	for _, part := range [][]byte{[]byte(f.algorithm), []byte(f.encryption), []byte(f.comment), f.public, f.private} {
		_ = binary.Write(&covered, binary.BigEndian, uint32(len(part))) //nolint:gosec // of a file of at most 64 KiB
		covered.Write(part)
	}
	newHash := sha256.New
	if f.version == 2 {
		newHash = func() hash.Hash { return sha1.New() } //nolint:gosec // see above
	}
	sum := hmac.New(newHash, keys.mac)
	sum.Write(covered.Bytes())
	return sum.Sum(nil)
}
