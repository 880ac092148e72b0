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
func (o keyOffer) signers(observe func(algorithm string)) []ssh.Signer {
	signers := make([]ssh.Signer, 0, len(o.algorithms))
	for _, signer := range o.algorithms {
		signers = append(signers, observedSigner{signer, observe})
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
	algorithmSigner, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("the private key cannot be used: make an ed25519 key")
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
	announced, err := ssh.NewSignerWithAlgorithms(algorithmSigner, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	if err != nil {
		return nil, err
	}
	unannounced := []ssh.AlgorithmSigner{renamedSigner{algorithmSigner, ssh.KeyAlgoRSASHA512}, renamedSigner{algorithmSigner, ssh.KeyAlgoRSASHA256}}
	offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{announced}}, keyOffer{algorithms: unannounced, fallback: true})
	if legacy {
		// Also when SHA-2 was refused: OpenSSH announces what it was built with, and
		// not what it is set to take.
		offers = append(offers, keyOffer{algorithms: []ssh.AlgorithmSigner{renamedSigner{algorithmSigner, ssh.KeyAlgoRSA}}})
	}
	return offers, nil
}

// certificateSigner returns a signer of the user certificate.
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

// named is an RSA signer whose key goes by the name of one signature algorithm:
// so x/crypto offers it whatever the server has announced.
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

// namedKey is a public key under another name for its type.
type renamedKey struct {
	ssh.PublicKey
	algorithm string
}

// Type returns the name.
func (k renamedKey) Type() string { return k.algorithm }

// noted is a signer that calls note when its public key is sent.
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

// keyType is the type of a key, and of the key in a certificate.
func keyType(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key.Type()
	}
	return key.Type()
}

// PublicKey returns the key; marshalling it notes that it was sent.
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

// Marshal returns the key as it is sent.
func (k observedKey) Marshal() []byte {
	k.observe(k.Type())
	return k.PublicKey.Marshal()
}
