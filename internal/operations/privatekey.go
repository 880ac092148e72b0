package operations

import (
	"errors"

	"stevedore/internal/ingest"
	"stevedore/internal/keyfile"
)

// KeyExtras are the passphrase and the certificate of an entered private key. Neither is
// stored by itself: the passphrase unlocks the key once, the certificate is stored with the
// key.
type KeyExtras struct {
	Passphrase, Certificate []byte
}

// storedKey converts an entered private key to the stored form and returns the problems of
// the input. It never quotes the key.
func storedKey(given []byte, extras KeyExtras) (key []byte, wrong ingest.FieldErrors) {
	if len(given) == 0 {
		if len(extras.Passphrase) > 0 {
			wrong.Add("passphrase", "passphrase: enter the private key that it unlocks as well")
		}
		if len(extras.Certificate) > 0 {
			wrong.Add("certificate", "certificate: enter its private key as well, even if that is already stored")
		}
		return given, wrong
	}
	key, err := keyfile.Read(keyfile.Input{Key: given, Passphrase: extras.Passphrase, Certificate: extras.Certificate})
	switch {
	case errors.Is(err, keyfile.ErrLocked), errors.Is(err, keyfile.ErrWrongPassphrase):
		wrong.Add("passphrase", "passphrase: %s", err)
	case errors.Is(err, keyfile.ErrCertificate):
		wrong.Add("certificate", "certificate: %s", err)
	case err != nil:
		wrong.Add("private_key", "private key: %s", err)
	}
	return key, wrong
}
