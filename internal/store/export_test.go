package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OnPool returns a store on connections of the test's making.
func OnPool(pool *pgxpool.Pool) *Store { return &Store{pool: pool} }

// Fold adds changes to the totals.
func (s *Store) Fold(ctx context.Context) error { return s.fold(ctx) }

// The bounds of what a page and a count look at.
const (
	PageLooks     = pageLooks
	CountLooks    = countLooks
	MaxCandidates = maxCandidates
	MaxSpread     = maxSpread
)

// Literals is what paths and names begin with that fit a glob.
var Literals = literals
