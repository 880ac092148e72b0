package sftp

import (
	"errors"
	"io"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/keyfile"
)

// keyOffer is one form in which a private key is offered to the server.
type keyOffer struct {
	algorithms []ssh.AlgorithmSigner
	// fallback is for servers that were asked about no form before.
	fallback bool
}

// signers returns what to offer; note is called with the type of each key about
// which the server is asked.
func (o keyOffer) signers(note func(algorithm string)) []ssh.Signer {
	signers := make([]ssh.Signer, 0, len(o.algorithms))
	for _, able := range o.algorithms {
		signers = append(signers, noted{able, note})
	}
	return signers
}

// keyOffers returns the forms in which to offer the key, in order. x/crypto offers
// an RSA key only with what the server announces, and not at all when it
// announces nothing: for such servers each SHA-2 signature is tried by name. For
// legacy servers SHA-1 comes last.
func keyOffers(text []byte, legacy bool) ([]keyOffer, error) {
	signer, certificate, err := keyfile.Signers(text)
	if err != nil {
		return nil, err
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the private key cannot be used: make an ed25519 key")
	}
	var offers []keyOffer
	if certificate != nil {
		certified, err := certificateSigner(certificate, able)
		if err != nil {
			return nil, err
		}
		offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{certified}})
	}
	if signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{able}}), nil
	}
	announced, err := ssh.NewSignerWithAlgorithms(able, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	if err != nil {
		return nil, err
	}
	unannounced := []ssh.AlgorithmSigner{named{able, ssh.KeyAlgoRSASHA512}, named{able, ssh.KeyAlgoRSASHA256}}
	offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{announced}}, keyOffer{algorithms: unannounced, fallback: true})
	if legacy {
		// Also when SHA-2 was refused: OpenSSH announces what it was built with, and
		// not what it is set to take.
		offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{named{able, ssh.KeyAlgoRSA}}})
	}
	return offers, nil
}

// certificateSigner returns a signer of the user certificate.
func certificateSigner(certificate *ssh.Certificate, able ssh.AlgorithmSigner) (ssh.AlgorithmSigner, error) {
	if able.PublicKey().Type() == ssh.KeyAlgoRSA {
		sha2, err := ssh.NewSignerWithAlgorithms(able, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
		if err != nil {
			return nil, err
		}
		able = sha2
	}
	signer, err := ssh.NewCertSigner(certificate, able)
	if err != nil {
		return nil, errors.New("the certificate is not for this private key")
	}
	certified, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the certificate's type cannot be used")
	}
	return certified, nil
}

// named is an RSA signer whose key goes by the name of one signature algorithm:
// so x/crypto offers it whatever the server has announced.
type named struct {
	ssh.AlgorithmSigner
	algorithm string
}

// PublicKey returns the key under the algorithm's name.
func (n named) PublicKey() ssh.PublicKey {
	return namedKey{n.AlgorithmSigner.PublicKey(), n.algorithm}
}

// Algorithms returns the one algorithm.
func (n named) Algorithms() []string { return []string{n.algorithm} }

// namedKey is a public key under another name for its type.
type namedKey struct {
	ssh.PublicKey
	algorithm string
}

// Type returns the name.
func (k namedKey) Type() string { return k.algorithm }

// noted is a signer that calls note when its public key is sent.
type noted struct {
	ssh.AlgorithmSigner
	note func(algorithm string)
}

// Algorithms implements ssh.MultiAlgorithmSigner.
func (n noted) Algorithms() []string {
	if several, ok := n.AlgorithmSigner.(ssh.MultiAlgorithmSigner); ok {
		return several.Algorithms()
	}
	return []string{keyType(n.AlgorithmSigner.PublicKey())}
}

// keyType is the type of a key, and of the key in a certificate.
func keyType(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key.Type()
	}
	return key.Type()
}

// PublicKey returns the key; marshalling it notes that it was sent.
func (n noted) PublicKey() ssh.PublicKey {
	return notedKey{n.AlgorithmSigner.PublicKey(), n.note}
}

// Sign implements ssh.Signer.
func (n noted) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return n.SignWithAlgorithm(random, data, n.Algorithms()[0])
}

type notedKey struct {
	ssh.PublicKey
	note func(algorithm string)
}

// Marshal returns the key as it is sent.
func (k notedKey) Marshal() []byte {
	k.note(k.Type())
	return k.PublicKey.Marshal()
}
