// Package keyfile reads SSH private keys in the formats of common tools: OpenSSH,
// PKCS#1, PKCS#8 and PuTTY files, with or without a passphrase, with byte order marks and
// white space of editors, and with a user certificate appended.
//
// Its errors are user messages and never quote the input, which is secret.
package keyfile

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"
)

// Input is a private key as entered by the user.
type Input struct {
	// Key is the text of the key file, optionally followed by a user certificate line.
	Key []byte
	// Passphrase decrypts the key; empty for an unencrypted key.
	Passphrase []byte
	// Certificate is a user certificate ("ssh-ed25519-cert-v01@openssh.com AAAA...");
	// empty if there is none.
	Certificate []byte
}

// Errors of Read that callers distinguish.
var (
	ErrLocked          = errors.New("the private key is encrypted: enter its passphrase, which is used once and not stored")
	ErrWrongPassphrase = errors.New("the passphrase does not decrypt the private key")
	ErrCertificate     = errors.New("the certificate cannot be used")
)

// Read returns the key in the stored format, which Signers reads: unencrypted in OpenSSH
// format, followed by the certificate, if any.
func Read(in Input) ([]byte, error) {
	text, lines := split(clean(in.Key))
	if given := clean(in.Certificate); len(given) > 0 {
		if _, err := parseCertificate(given); err != nil {
			return nil, err
		}
		lines = given
	}
	key, err := parse(text, in.Passphrase)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, errors.New("the private key is of an unsupported type: create an ed25519 key")
	}
	stored := pem.EncodeToMemory(block)
	if line := bytes.TrimSpace(lines); len(line) > 0 {
		stored = append(append(stored, line...), '\n')
	}
	_, _, err = Signers(stored)
	return stored, err
}

// Signers returns the signer of an unencrypted key, and the certificate that follows the
// key, nil if there is none.
func Signers(text []byte) (ssh.Signer, *ssh.Certificate, error) {
	text, line := split(clean(text))
	key, err := parse(text, nil)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, errors.New("the private key is of an unsupported type: create an ed25519 key")
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return signer, nil, nil
	}
	certificate, err := parseCertificate(line)
	if err != nil {
		return nil, nil, err
	}
	if !bytes.Equal(certificate.Key.Marshal(), signer.PublicKey().Marshal()) {
		return nil, nil, fmt.Errorf("%w: it is for another key than the private key", ErrCertificate)
	}
	return signer, certificate, nil
}

func parseCertificate(line []byte) (*ssh.Certificate, error) {
	public, _, _, rest, err := ssh.ParseAuthorizedKey(line)
	if err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%w: it is not one line like 'ssh-ed25519-cert-v01@openssh.com AAAA...' (the file that ends with -cert.pub)", ErrCertificate)
	}
	certificate, ok := public.(*ssh.Certificate)
	if !ok || certificate.CertType != ssh.UserCert {
		return nil, fmt.Errorf("%w: it is not a user certificate: enter the file that ends with -cert.pub", ErrCertificate)
	}
	return certificate, nil
}

// split separates a key from the certificate line after it.
func split(text []byte) (key, line []byte) {
	at := bytes.LastIndex(text, []byte("\n-----END "))
	if at < 0 {
		return text, nil
	}
	end := bytes.IndexByte(text[at+1:], '\n')
	if end < 0 {
		return text, nil
	}
	end += at + 2
	if !strings.Contains(string(text[end:]), "-cert-v01@openssh.com ") {
		return text, nil
	}
	return text[:end], text[end:]
}

// parse returns the key in a text that clean has processed.
func parse(text, passphrase []byte) (any, error) {
	switch {
	case len(text) == 0:
		return nil, errors.New("the private key is empty")
	case bytes.HasPrefix(text, []byte(ppkMark)):
		return parsePPK(text, passphrase)
	}
	if err := notPrivate(text); err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the private key cannot be read: enter the complete file, in OpenSSH, PEM or PuTTY format")
	}
	return parseBlock(block, passphrase)
}

func parseBlock(block *pem.Block, passphrase []byte) (key any, err error) {
	if bytes.Contains(block.Bytes, []byte("sk-ssh-ed25519@openssh.com")) || bytes.Contains(block.Bytes, []byte("sk-ecdsa-sha2-nistp256@openssh.com")) {
		return nil, errSecurityKey
	}
	encoded := pem.EncodeToMemory(block)
	if block.Type == "ENCRYPTED PRIVATE KEY" {
		if len(passphrase) == 0 {
			return nil, ErrLocked
		}
		if key, err = pkcs8.ParsePKCS8PrivateKey(block.Bytes, passphrase); err != nil {
			return nil, ErrWrongPassphrase
		}
		return usable(key)
	}
	key, err = ssh.ParseRawPrivateKey(encoded)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked) && len(passphrase) == 0:
		return nil, ErrLocked
	case errors.As(err, &locked):
		if key, err = ssh.ParseRawPrivateKeyWithPassphrase(encoded, passphrase); err != nil {
			return nil, ErrWrongPassphrase
		}
	case err != nil:
		return nil, fmt.Errorf("the private key cannot be read: it is damaged, or its format %q is not supported; convert a copy with `ssh-keygen -p -f COPY`", shown(block.Type))
	}
	return usable(key)
}

// usable returns the key in the type that x/crypto requires.
func usable(key any) (any, error) {
	switch k := key.(type) {
	case *ed25519.PrivateKey:
		return *k, nil
	default:
		return key, nil
	}
}

// shown truncates a text for a message. The text must not be secret.
func shown(text string) string {
	if len(text) > 40 {
		text = text[:40]
	}
	return text
}

// notPrivate returns an error for a public key or an X.509 certificate.
func notPrivate(text []byte) error {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	switch {
	case bytes.HasPrefix(text, []byte("---- BEGIN SSH2 PUBLIC KEY")), bytes.Contains(first, []byte("BEGIN PUBLIC KEY")), bytes.Contains(first, []byte("BEGIN RSA PUBLIC KEY")):
		return errPublic
	case bytes.Contains(first, []byte("BEGIN CERTIFICATE")):
		return errors.New("this is an X.509 certificate: enter the private key")
	}
	if _, _, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
		return errPublic
	}
	return nil
}

var errSecurityKey = errors.New("this key is on a security key (FIDO), which requires touch: create an ed25519 key without one")

var errPublic = errors.New("this is a public key: enter the private key, the file of the same name without .pub")
