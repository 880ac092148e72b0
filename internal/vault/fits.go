package vault

import (
	"context"

	"stevedore/internal/ingest"
)

// serversPage is how many servers are looked at in one query.
const serversPage = 500

// Servers is the ledger's listing of servers by name, page by page.
type Servers interface {
	Servers(ctx context.Context, afterName string, limit int) ([]ingest.Server, error)
}

// Fits refuses a keyset that lacks a key which still seals a server's
// credentials, with KindInvalid. A key that was retired too early is a mistake
// of the deployment: it is to show at once, wherever the file was brought, and
// not one by one as partners' files fail to come. Credentials that are damaged
// concern their server alone and are not looked for.
func (v *Vault) Fits(ctx context.Context, ledger Servers) error {
	for after := ""; ; {
		servers, err := ledger.Servers(ctx, after, serversPage)
		if err != nil {
			return err
		}
		for _, server := range servers {
			if err := v.fits(server); err != nil {
				return err
			}
		}
		if len(servers) < serversPage {
			return nil
		}
		after = servers[len(servers)-1].Name
	}
}

func (v *Vault) fits(server ingest.Server) error {
	keys := v.current().keys
	for _, sealed := range [][]byte{server.PasswordEncrypted, server.PrivateKeyEncrypted} {
		if key, ok := keyID(sealed); ok && !keys[key] {
			return ingest.Errorf(ingest.KindInvalid,
				"credentials of server %s are sealed with key %d, which keyset file %s does not hold: put the key back, run `stevedore key rotate`, which seals all anew, and only then retire it",
				server.Name, key, v.path)
		}
	}
	return nil
}
