package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/access"
	"stevedore/internal/ingest"
)

// tokensPage is the content of the tokens page.
type tokensPage struct {
	tokens []ingest.Token
	// made is the token just created; its secret is shown once.
	made   *ingest.Token
	secret string
	// name, role and days are the form's values, wrong its problems.
	name  string
	role  ingest.Role
	days  string
	wrong []notice
}

func (c *Console) tokens(r *http.Request, v *view) (answer, error) {
	return c.showTokens(r, v, tokensPage{role: ingest.RoleViewer, days: "90"})
}

func (c *Console) showTokens(r *http.Request, v *view, page tokensPage) (a answer, err error) {
	page.tokens, err = c.d.Access.ListTokens(r.Context())
	a = answer{title: v.T("Tokens"), body: tokensView(v, page)}
	if len(page.wrong) > 0 {
		a.status = http.StatusBadRequest
	}
	return a, err
}

func (c *Console) createToken(r *http.Request, v *view) (answer, error) {
	page := tokensPage{
		name: strings.TrimSpace(r.PostFormValue("name")), role: ingest.Role(r.PostFormValue("role")), days: strings.TrimSpace(r.PostFormValue("days")),
	}
	in := access.NewToken{Name: page.name, Role: page.role}
	if page.days != "" {
		days, err := strconv.Atoi(page.days)
		if err != nil || days < 1 || days > 3650 {
			page.wrong = []notice{plain(v.T("Days: use a whole number from 1 to 3650, or leave empty."))}
			return c.showTokens(r, v, page)
		}
		in.Expires = time.Duration(days) * 24 * time.Hour
	}
	token, secret, err := c.d.Access.CreateToken(r.Context(), in)
	var invalid *ingest.InvalidError
	switch {
	case errors.As(err, &invalid):
		for _, field := range invalid.Fields {
			page.wrong = append(page.wrong, v.field(field))
		}
		return c.showTokens(r, v, page)
	case ingest.IsKind(err, ingest.KindConflict):
		page.wrong = []notice{v.explain(err)}
		return c.showTokens(r, v, page)
	case err != nil:
		return answer{}, err
	}
	return c.showTokens(r, v, tokensPage{made: &token, secret: secret, role: ingest.RoleViewer, days: "90"})
}

func (c *Console) revokeToken(r *http.Request, v *view) (answer, error) {
	token, err := c.d.Access.RevokeToken(r.Context(), r.PathValue("name"))
	return v.done("/tokens", v.T("The token %s is revoked.", token.Name), err)
}

// tokenRow returns the row of a token.
func (v *view) tokenRow(t ingest.Token) row {
	state := openapi.FromToken(t, v.now).State
	return row{cells: []cell{
		{v.T("State"), "", badgeOf(v, state)},
		{v.T("Name"), "", text(t.Name)},
		{v.T("Role"), "", text(v.T(string(t.Role)))},
		{v.T("Expires"), "", when(t.ExpiresAt)},
		{v.T("Last used"), "", when(t.LastUsedAt)},
		{v.T("Created"), "", tokenCreated(v, t)},
		{v.T("Revoke"), "tick", optional(state == openapi.TokenValid, revokeButton(v, t.Name))},
	}}
}
