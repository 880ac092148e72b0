package keyfile_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/youmark/pkcs8"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/keyfile"
	"stevedore/internal/test/services"
)

// keys returns one key of each supported type.
func keys(t *testing.T) map[string]any {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	all := map[string]any{"ed25519": ed, "rsa": r}
	for name, curve := range map[string]elliptic.Curve{"p256": elliptic.P256(), "p384": elliptic.P384(), "p521": elliptic.P521()} {
		all[name], err = ecdsa.GenerateKey(curve, rand.Reader)
		require.NoError(t, err)
	}
	return all
}

func fingerprint(t *testing.T, key any) string {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	return ssh.FingerprintSHA256(signer.PublicKey())
}

// requireRead reads the input, then the stored format, and returns the latter.
func requireRead(t *testing.T, in keyfile.Input, key any) []byte {
	t.Helper()
	stored, err := keyfile.Read(in)
	require.NoError(t, err)
	signer, _, err := keyfile.Signers(stored)
	require.NoError(t, err)
	require.Equal(t, fingerprint(t, key), ssh.FingerprintSHA256(signer.PublicKey()))
	again, err := keyfile.Read(keyfile.Input{Key: stored})
	require.NoError(t, err)
	_, _, err = keyfile.Signers(again)
	require.NoError(t, err)
	return stored
}

func TestFormats(t *testing.T) {
	t.Parallel()
	phrase := []byte("open sesame")
	for name, key := range keys(t) {
		plain := services.PEM(t, key)
		locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", phrase)
		require.NoError(t, err)
		der, err := x509.MarshalPKCS8PrivateKey(key)
		require.NoError(t, err)
		lockedDER, err := pkcs8.MarshalPrivateKey(key, phrase, nil)
		require.NoError(t, err)
		forms := map[string][]byte{
			"OpenSSH": plain, "OpenSSH locked": pem.EncodeToMemory(locked),
			"PKCS#8":        pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
			"PKCS#8 locked": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: lockedDER}),
		}
		if r, ok := key.(*rsa.PrivateKey); ok {
			forms["PKCS#1"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)})
			//nolint:staticcheck // the old format of OpenSSL
			block, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), phrase, x509.PEMCipherAES128)
			require.NoError(t, err)
			forms["PKCS#1 locked"] = pem.EncodeToMemory(block)
		}
		for form, text := range forms {
			t.Run(name+" "+form, func(t *testing.T) {
				t.Parallel()
				in := keyfile.Input{Key: text}
				if strings.HasSuffix(form, "locked") {
					_, err := keyfile.Read(in)
					require.ErrorIs(t, err, keyfile.ErrLocked)
					_, err = keyfile.Read(keyfile.Input{Key: text, Passphrase: []byte("wrong")})
					require.ErrorIs(t, err, keyfile.ErrWrongPassphrase)
					in.Passphrase = phrase
				}
				stored := requireRead(t, in, key)
				assert.NotContains(t, string(stored), "ENCRYPTED")
			})
		}
	}
}

func TestEditorArtifacts(t *testing.T) {
	t.Parallel()
	key := keys(t)["ed25519"]
	plain := string(services.PEM(t, key))
	utf16 := []byte{0xff, 0xfe}
	for _, r := range strings.ReplaceAll(plain, "\n", "\r\n") {
		utf16 = append(utf16, byte(r), 0)
	}
	for name, text := range map[string]string{
		"CRLF": strings.ReplaceAll(plain, "\n", "\r\n"), "BOM": "\xef\xbb\xbf" + plain, "no last line end": strings.TrimSpace(plain),
		"spaces before": "\n\n   " + plain, "indented": "  " + strings.ReplaceAll(plain, "\n", "  \n  "), "UTF-16": string(utf16),
		"notes before": "Key for acme\n" + plain, "old Mac": strings.ReplaceAll(plain, "\n", "\r"),
		"X.509 chain after": plain + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRead(t, keyfile.Input{Key: []byte(text)}, key)
		})
	}
}

func TestInvalidKeys(t *testing.T) {
	t.Parallel()
	key := keys(t)["ed25519"]
	signer, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	for name, test := range map[string]struct{ text, message string }{
		"public":      {string(ssh.MarshalAuthorizedKey(signer.PublicKey())), "this is a public key"},
		"RFC 4716":    {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n", "this is a public key"},
		"PEM public":  {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "this is a public key"},
		"X.509":       {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "X.509 certificate"},
		"empty":       {" \n", "is empty"},
		"no key":      {"canary", "cannot be read"},
		"damaged":     {"-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5\n-----END OPENSSH PRIVATE KEY-----\n", "damaged"},
		"broken ppk":  {"PuTTY-User-Key-File-3: ssh-ed25519\ncanary\n", "PuTTY key file cannot be read"},
		"ppk of 1":    {"PuTTY-User-Key-File-1: ssh-rsa\nEncryption: none\n", "PuTTY key file cannot be read"},
		"costly ppk":  {"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: aes256-cbc\nKey-Derivation: Argon2id\nArgon2-Memory: 4000000000\nArgon2-Passes: 1\nArgon2-Parallelism: 1\nArgon2-Salt: 00\n", "PuTTY key file cannot be read"},
		"endless ppk": {"PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 999999999\n", "PuTTY key file cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := keyfile.Read(keyfile.Input{Key: []byte(test.text), Passphrase: []byte("p")})
			require.ErrorContains(t, err, test.message)
			assert.NotContains(t, err.Error(), "canary")
		})
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	all := keys(t)
	for _, name := range []string{"ed25519", "rsa"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			line := certify(t, all[name], ssh.UserCert)
			stored := requireRead(t, keyfile.Input{Key: services.PEM(t, all[name]), Certificate: line}, all[name])
			_, certificate, err := keyfile.Signers(stored)
			require.NoError(t, err)
			require.NotNil(t, certificate)
			requireRead(t, keyfile.Input{Key: append(services.PEM(t, all[name]), line...)}, all[name])
		})
	}
	for message, line := range map[string][]byte{
		"another key": certify(t, all["p256"], ssh.UserCert), "user certificate": certify(t, all["ed25519"], ssh.HostCert), "not one line": []byte("x"),
	} {
		_, err := keyfile.Read(keyfile.Input{Key: services.PEM(t, all["ed25519"]), Certificate: line})
		require.ErrorIs(t, err, keyfile.ErrCertificate)
		require.ErrorContains(t, err, message)
	}
}

func certify(t *testing.T, key any, kind uint32) []byte {
	t.Helper()
	_, authority, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(authority)
	require.NoError(t, err)
	own, err := ssh.NewSignerFromKey(key)
	require.NoError(t, err)
	certificate := &ssh.Certificate{Key: own.PublicKey(), CertType: kind, ValidBefore: ssh.CertTimeInfinity, ValidPrincipals: []string{"u"}}
	require.NoError(t, certificate.SignCert(rand.Reader, signer))
	return ssh.MarshalAuthorizedKey(certificate)
}

// TestPuTTY reads the files in testdata, written by puttygen 0.78: every key type,
// versions 2 and 3, unencrypted and encrypted with "open sesame".
func TestPuTTY(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.ppk")
	require.NoError(t, err)
	require.Len(t, files, 12)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			public, err := os.ReadFile(file[:strings.LastIndex(file, "-v")] + ".pub")
			require.NoError(t, err)
			want, _, _, _, err := ssh.ParseAuthorizedKey(public)
			require.NoError(t, err)
			in := keyfile.Input{Key: bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))}
			if strings.Contains(file, "locked") {
				_, err := keyfile.Read(in)
				require.ErrorIs(t, err, keyfile.ErrLocked)
				_, err = keyfile.Read(keyfile.Input{Key: in.Key, Passphrase: []byte("wrong")})
				require.ErrorIs(t, err, keyfile.ErrWrongPassphrase)
				in.Passphrase = []byte("open sesame")
			}
			stored, err := keyfile.Read(in)
			require.NoError(t, err)
			signer, _, err := keyfile.Signers(stored)
			require.NoError(t, err)
			assert.Equal(t, ssh.FingerprintSHA256(want), ssh.FingerprintSHA256(signer.PublicKey()))
			damaged := bytes.Replace(text, []byte("Comment: "), []byte("Comment: x"), 1)
			_, err = keyfile.Read(keyfile.Input{Key: damaged, Passphrase: in.Passphrase})
			require.Error(t, err, "the whole file is authenticated")
		})
	}
}

func FuzzRead(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.ppk")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && !strings.Contains(file, "locked") {
			f.Add(text)
		}
	}
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nY2FuYXJ5\n-----END OPENSSH PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		stored, err := keyfile.Read(keyfile.Input{Key: text})
		if err != nil {
			return
		}
		if _, _, err := keyfile.Signers(stored); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSecurityKeys checks the error for keys on FIDO security keys.
func TestSecurityKeys(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"} {
		body := []byte("openssh-key-v1\x00\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x4a\x00\x00\x00" + string(rune(len(kind))) + kind)
		text := pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: body})
		_, _, err := keyfile.Signers(text)
		require.ErrorContains(t, err, "security key (FIDO)")
	}
}
