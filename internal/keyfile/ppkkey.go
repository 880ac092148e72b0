package keyfile

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"math/big"
)

// blob reads the strings of an SSH blob. After a failure it returns nil.
type blob struct {
	rest   []byte
	failed bool
}

func (b *blob) next() []byte {
	if b.failed || len(b.rest) < 4 {
		b.failed = true
		return nil
	}
	n := binary.BigEndian.Uint32(b.rest)
	if uint64(n) > uint64(len(b.rest)-4) {
		b.failed = true
		return nil
	}
	value := b.rest[4 : 4+n]
	b.rest = b.rest[4+n:]
	return value
}

func (b *blob) number() *big.Int { return new(big.Int).SetBytes(b.next()) }

// key returns the private key of a decrypted file.
func (f *ppk) key() (any, error) {
	public, private := &blob{rest: f.public}, &blob{rest: f.private}
	public.next() // the type
	switch f.algorithm {
	case "ssh-rsa":
		return rsaKey(public, private)
	case "ssh-ed25519":
		return ed25519Key(public, private)
	case "ecdsa-sha2-nistp256":
		return ecdsaKey(elliptic.P256(), public, private)
	case "ecdsa-sha2-nistp384":
		return ecdsaKey(elliptic.P384(), public, private)
	case "ecdsa-sha2-nistp521":
		return ecdsaKey(elliptic.P521(), public, private)
	default:
		return nil, errors.New("the PuTTY key file has a key of an unsupported type: create an ed25519 key")
	}
}

func rsaKey(public, private *blob) (any, error) {
	e, n := public.number(), public.number()
	d, p, q := private.number(), private.number(), private.number()
	if public.failed || private.failed || !e.IsInt64() || e.Int64() > 1<<31-1 {
		return nil, errPPK
	}
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: n, E: int(e.Int64())}, D: d, Primes: []*big.Int{p, q}}
	if err := key.Validate(); err != nil {
		return nil, errPPK
	}
	key.Precompute()
	return key, nil
}

func ed25519Key(public, private *blob) (any, error) {
	point, number := public.next(), private.next()
	if public.failed || private.failed || len(number) > ed25519.SeedSize {
		return nil, errPPK
	}
	seed := make([]byte, ed25519.SeedSize) // the number is little-endian and may end early
	copy(seed, number)
	key := ed25519.NewKeyFromSeed(seed)
	if string(key[ed25519.SeedSize:]) != string(point) {
		return nil, errPPK
	}
	return key, nil
}

func ecdsaKey(curve elliptic.Curve, public, private *blob) (any, error) {
	public.next() // the curve's name
	point, number := public.next(), private.number()
	size := (curve.Params().BitSize + 7) / 8
	if public.failed || private.failed || number.BitLen() > 8*size {
		return nil, errPPK
	}
	key, err := ecdsa.ParseRawPrivateKey(curve, number.FillBytes(make([]byte, size)))
	if err != nil {
		return nil, errPPK
	}
	if own, err := key.PublicKey.Bytes(); err != nil || string(own) != string(point) {
		return nil, errPPK
	}
	return key, nil
}
