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
	// fallback is set if the form is used only if no key was offered before.
	fallback bool
}

// signers returns the signers to offer; observe is called with the type of each key that
// is sent.
func (o keyOffer) signers(observe func(algorithm string)) []ssh.Signer {
	signers := make([]ssh.Signer, 0, len(o.algorithms))
	for _, signer := range o.algorithms {
		signers = append(signers, observedSigner{signer, observe})
	}
	return signers
}

// keyOffers returns the forms in which to offer the key, in order. x/crypto offers an RSA
// key only with the algorithms of the server's server-sig-algs extension, and not at all
// without it: for such servers each SHA-2 algorithm is offered separately. For legacy
// servers SHA-1 comes last.
func keyOffers(text []byte, legacy bool) ([]keyOffer, error) {
	signer, certificate, err := keyfile.Signers(text)
	if err != nil {
		return nil, err
	}
	algorithmSigner, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the private key cannot be used: create an ed25519 key")
	}
	var offers []keyOffer
	if certificate != nil {
		certified, err := certificateSigner(certificate, algorithmSigner)
		if err != nil {
			return nil, err
		}
		offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{certified}})
	}
	if signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{algorithmSigner}}), nil
	}
	sha2Signer, err := ssh.NewSignerWithAlgorithms(algorithmSigner, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	if err != nil {
		return nil, err
	}
	separate := []ssh.AlgorithmSigner{renamedSigner{algorithmSigner, ssh.KeyAlgoRSASHA512}, renamedSigner{algorithmSigner, ssh.KeyAlgoRSASHA256}}
	offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{sha2Signer}}, keyOffer{algorithms: separate, fallback: true})
	if legacy {
		// SHA-1 is tried even if SHA-2 was refused: OpenSSH lists the algorithms that it
		// was built with, not those that it is configured to accept.
		offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{renamedSigner{algorithmSigner, ssh.KeyAlgoRSA}}})
	}
	return offers, nil
}

// certificateSigner returns a signer for the user certificate.
func certificateSigner(certificate *ssh.Certificate, signer ssh.AlgorithmSigner) (ssh.AlgorithmSigner, error) {
	if signer.PublicKey().Type() == ssh.KeyAlgoRSA {
		sha2, err := ssh.NewSignerWithAlgorithms(signer, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
		if err != nil {
			return nil, err
		}
		signer = sha2
	}
	certSigner, err := ssh.NewCertSigner(certificate, signer)
	if err != nil {
		return nil, errors.New("the certificate is not for this private key")
	}
	certified, ok := certSigner.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the certificate's type cannot be used")
	}
	return certified, nil
}

// renamedSigner is an RSA signer whose key type is the name of one signature algorithm,
// so that x/crypto offers it regardless of the server's extensions.
type renamedSigner struct {
	ssh.AlgorithmSigner
	algorithm string
}

// PublicKey returns the key under the algorithm's name.
func (n renamedSigner) PublicKey() ssh.PublicKey {
	return renamedKey{n.AlgorithmSigner.PublicKey(), n.algorithm}
}

// Algorithms returns the one algorithm.
func (n renamedSigner) Algorithms() []string { return []string{n.algorithm} }

// renamedKey is a public key with another type name.
type renamedKey struct {
	ssh.PublicKey
	algorithm string
}

// Type returns the algorithm's name.
func (k renamedKey) Type() string { return k.algorithm }

// observedSigner is a signer that calls observe when its public key is sent.
type observedSigner struct {
	ssh.AlgorithmSigner
	observe func(algorithm string)
}

// Algorithms implements ssh.MultiAlgorithmSigner.
func (n observedSigner) Algorithms() []string {
	if multi, ok := n.AlgorithmSigner.(ssh.MultiAlgorithmSigner); ok {
		return multi.Algorithms()
	}
	return []string{keyType(n.AlgorithmSigner.PublicKey())}
}

// keyType returns the type of a key, and for a certificate the type of its key.
func keyType(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key.Type()
	}
	return key.Type()
}

// PublicKey returns the key; marshalling it calls observe.
func (n observedSigner) PublicKey() ssh.PublicKey {
	return observedKey{n.AlgorithmSigner.PublicKey(), n.observe}
}

// Sign implements ssh.Signer.
func (n observedSigner) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	return n.SignWithAlgorithm(random, data, n.Algorithms()[0])
}

type observedKey struct {
	ssh.PublicKey
	observe func(algorithm string)
}

// Marshal calls observe and returns the key's wire format.
func (k observedKey) Marshal() []byte {
	k.observe(k.Type())
	return k.PublicKey.Marshal()
}
