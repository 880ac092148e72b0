package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/store"
	"stevedore/internal/test/services"
)

// BenchmarkReserveNothing polls a server whose slots are all in use.
func BenchmarkReserveNothing(b *testing.B) {
	dsn := services.Database(b)
	ctx := context.Background()
	s, err := store.New(ctx, store.Config{DatabaseURL: dsn})
	require.NoError(b, err)
	defer s.Close()
	server, err := s.AddServer(ctx, ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Active: true})
	require.NoError(b, err)
	_, err = s.Observe(ctx, server.UUID, "schedule", paths("/in", 10_000))
	require.NoError(b, err)
	_, _, err = s.Promote(ctx, ingest.Server{UUID: server.UUID})
	require.NoError(b, err)
	fence, err := s.RegisterDispatcher(ctx, server.UUID)
	require.NoError(b, err)
	for b.Loop() {
		_, err := s.ReserveSlots(ctx, server.UUID, fence, 4)
		require.NoError(b, err)
	}
}
