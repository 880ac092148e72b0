package credentials

import (
	"context"

	"stevedore/internal/ingest"
)

// serversPage is how many servers are looked at in one query.
const serversPage = 500

// Canaries keeps one value that this installation's keyset has sealed.
type Canaries interface {
	// KeysetCanary returns the value, nil when there is none yet.
	KeysetCanary(ctx context.Context) (sealed []byte, err error)
	// KeepKeysetCanary keeps the value instead of the earlier one, nil for none,
	// and returns what is kept: that of another process which was first.
	KeepKeysetCanary(ctx context.Context, earlier, sealed []byte) (kept []byte, err error)
}

// Ledger is what a keyset must fit.
type Ledger interface {
	Canaries
	// Servers returns servers by name, page by page.
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
}

// Fits refuses, with KindInvalid, a keyset that lacks a key which still seals a
// server's credentials, and one of another installation. Both are mistakes of the
// deployment: they are to show at once, wherever the file was brought, and not one
// by one as partners' files fail to come. Credentials that are damaged concern
// their server alone and are not looked for.
func (v *Sealer) Fits(ctx context.Context, ledger Ledger) error {
	keys, _ := v.reread()
	for after := ""; ; {
		servers, err := ledger.Servers(ctx, after, serversPage)
		if err != nil {
			return err
		}
		for _, server := range servers {
			if err := v.fits(keys, server); err != nil {
				return err
			}
		}
		if len(servers) < serversPage {
			return v.Check(ctx, ledger)
		}
		after = servers[len(servers)-1].Name
	}
}

func (v *Sealer) fits(keys *ring, server ingest.Server) error {
	for _, sealed := range [][]byte{server.PasswordEncrypted, server.PrivateKeyEncrypted} {
		if key, ok := keyID(sealed); ok && !keys.keys[key] {
			return ingest.Errorf(ingest.KindInvalid,
				"credentials of server %s are sealed with key %d, which keyset file %s does not hold: put the key back, run `stevedore key rotate`, which seals all anew, and only then retire it",
				server.Name, key, v.path)
		}
	}
	return nil
}

// canaryPlace is the associated data of the canary.
const canaryPlace = "keyset_canary"

// Check refuses, with KindInvalid, a keyset that does not open the canary. The
// first keyset of an installation makes it. It takes up a replaced file that does.
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
			"keyset file %s is not the one of this database: nothing is sealed with it; put back the file that the stored credentials were sealed with", v.path)
	}
	v.ring.Store(keys)
	return nil
}

// RenewCanary seals the canary with the newest key, so that older ones can be
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
