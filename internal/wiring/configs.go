package wiring

import (
	"log/slog"

	"stevedore/internal/amqp"
	"stevedore/internal/config"
	"stevedore/internal/objstore"
	"stevedore/internal/sftp"
	"stevedore/internal/store"
)

// ObjectStoreConfig returns the configuration of the object store, without a memory budget.
func ObjectStoreConfig(cfg config.Config) objstore.Config {
	return objstore.Config{
		Endpoint: cfg.S3.Endpoint, AccessKey: cfg.S3.AccessKey, SecretKey: cfg.S3.SecretKey.Reveal(),
		Bucket: cfg.S3.Bucket, Region: cfg.S3.Region, UseTLS: cfg.S3.UseTLS,
	}
}

// BrokerConfig returns the configuration of the broker.
func BrokerConfig(cfg config.Config) amqp.Config {
	return amqp.Config{URL: cfg.AMQP.URL.Reveal(), Exchange: cfg.AMQP.Exchange, RoutingKey: cfg.AMQP.RoutingKey, Queue: cfg.AMQP.Queue}
}

// SFTPConfig returns the configuration of connections to servers. The ledger limits them.
func SFTPConfig(cfg config.Config, ledger *store.Store, log *slog.Logger) sftp.Config {
	return sftp.Config{AllowNetworks: cfg.SFTP.AllowNetworks, Passwords: ledger, Connections: ledger, Directory: ledger, Log: log}
}
