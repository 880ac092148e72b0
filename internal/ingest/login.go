package ingest

import "context"

// MaxRefusedPasswords is the number of refused passwords that a server sees at
// most for one version of its credentials. It allows one retry by an operator;
// many servers lock an account after three.
const MaxRefusedPasswords = 2

// LoginResult is the outcome of sending a password or offering a key.
type LoginResult string

// The outcomes. LoginUnanswered: the connection broke, or stevedore closed it,
// before the server answered. That may hide a refusal.
const (
	LoginAccepted   LoginResult = "accepted"
	LoginRefused    LoginResult = "refused"
	LoginUnanswered LoginResult = "unanswered"
)

type resealing struct{}

// WithResealing returns a context that marks changes as re-encryption of the same
// credentials.
func WithResealing(ctx context.Context) context.Context {
	return context.WithValue(ctx, resealing{}, true)
}

// Resealing reports whether ctx was made by WithResealing.
func Resealing(ctx context.Context) bool { return ctx.Value(resealing{}) != nil }
