package ingest

import "context"

// MaxRefusedPasswords is how many refused passwords a server sees at most for each
// change of its credentials. A person may try once more after the first refusal,
// and many servers lock an account after three.
const MaxRefusedPasswords = 2

// PasswordFate is what became of a password that was about to be sent, or of a key
// that was offered.
type PasswordFate string

// The fates. Unanswered: the connection broke before the server had answered,
// which is no refusal, but may hide one. Abandoned: our side ended the log-in, because
// its work was ended; that says nothing.
const (
	PasswordAccepted   PasswordFate = "accepted"
	PasswordRefused    PasswordFate = "refused"
	PasswordUnanswered PasswordFate = "unanswered"
	PasswordAbandoned  PasswordFate = "abandoned"
)

type resealing struct{}

// WithResealing returns a context for changes that seal the same credentials
// with another key.
func WithResealing(ctx context.Context) context.Context {
	return context.WithValue(ctx, resealing{}, true)
}

// Resealing reports whether ctx is WithResealing.
func Resealing(ctx context.Context) bool { return ctx.Value(resealing{}) != nil }
