package credentials

import (
	"context"

	"stevedore/internal/ingest"
)

// serversPage is the page size for reading servers.
const serversPage = 500

// Canaries stores one value that was encrypted by this installation's keyset.
type Canaries interface {
	// KeysetCanary returns the value; nil for none.
	KeysetCanary(ctx context.Context) (sealed []byte, err error)
	// KeepKeysetCanary replaces the earlier value (nil for none) and returns the stored
	// value, which a concurrent process may have written.
	KeepKeysetCanary(ctx context.Context, earlier, sealed []byte) (kept []byte, err error)
}

// Ledger stores the values that a keyset must decrypt.
type Ledger interface {
	Canaries
	// Servers returns a page of servers, ordered by name.
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
}

// Fits returns KindInvalid for a keyset that lacks a key of the stored credentials, or belongs to
// another installation. Both are deployment errors and must be reported at start, not file by
// file. A key that is missing for one value only may be damage of this value: if the keyset fits
// the rest of the ledger, damaged has the error of that server. Other damage is not checked.
func (v *Sealer) Fits(ctx context.Context, ledger Ledger) (damaged []error, err error) {
	canary, err := ledger.KeysetCanary(ctx)
	if err != nil {
		return nil, err
	}
	keys, _ := v.reread()
	fits, lacks := canary != nil, map[uint32][]string{} // servers by missing key
	for after := ""; ; {
		servers, err := ledger.Servers(ctx, after, serversPage)
		if err != nil {
			return nil, err
		}
		for _, server := range servers {
			for _, sealed := range [][]byte{server.PasswordEncrypted, server.PrivateKeyEncrypted} {
				if key, ok := keyID(sealed); ok && !keys.keys[key] {
					lacks[key] = append(lacks[key], server.Name)
				} else if ok {
					fits = true
				}
			}
		}
		if len(servers) < serversPage {
			break
		}
		after = servers[len(servers)-1].Name
	}
	for key, servers := range lacks {
		if !fits || len(servers) > 1 {
			return nil, ingest.Errorf(ingest.KindInvalid,
				"credentials of server %s are encrypted with key %d, which keyset file %s does not contain: restore the key, run `stevedore key rotate`, which re-encrypts all credentials, and then retire it",
				servers[0], key, v.path)
		}
		damaged = append(damaged, ingest.Errorf(ingest.KindInvalid,
			"credentials of server %[1]s are damaged or encrypted with key %[2]d, which keyset file %[3]s does not contain: restore the key, or enter the credentials again with `stevedore server edit %[1]s`",
			servers[0], key, v.path))
	}
	return damaged, v.Check(ctx, ledger)
}

// canaryPlace is the associated data of the canary.
const canaryPlace = "keyset_canary"

// Check returns KindInvalid for a keyset that does not decrypt the canary. The
// first keyset of an installation creates it. A replaced file that decrypts it is
// loaded.
func (v *Sealer) Check(ctx context.Context, canaries Canaries) error {
	keys, _ := v.reread()
	kept, err := canaries.KeysetCanary(ctx)
	if err == nil && kept == nil {
		kept, err = keep(ctx, canaries, keys, nil)
	}
	if err != nil {
		return err
	}
	if _, err := keys.aead.Decrypt(kept, []byte(canaryPlace)); err != nil {
		return ingest.Errorf(ingest.KindInvalid,
			"keyset file %s does not belong to this database and is not used: restore the file with which the stored credentials were encrypted", v.path)
	}
	v.ring.Store(keys)
	return nil
}

// RenewCanary encrypts the canary with the newest key, so that older ones can be
// retired.
func (v *Sealer) RenewCanary(ctx context.Context, canaries Canaries) error {
	if err := v.Check(ctx, canaries); err != nil {
		return err
	}
	kept, err := canaries.KeysetCanary(ctx)
	if err != nil || v.Current(kept) {
		return err
	}
	_, err = keep(ctx, canaries, v.ring.Load(), kept)
	return err
}

func keep(ctx context.Context, canaries Canaries, keys *ring, earlier []byte) ([]byte, error) {
	sealed, err := keys.aead.Encrypt([]byte("stevedore"), []byte(canaryPlace))
	if err != nil {
		return nil, err
	}
	return canaries.KeepKeysetCanary(ctx, earlier, sealed)
}
