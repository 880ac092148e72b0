package activities

import (
	"context"

	"stevedore/internal/ingest"
)

// ListDueServersInput selects the servers of one scan.
type ListDueServersInput struct {
	// AfterUUID is the cursor; empty for the first page.
	AfterUUID string `json:"after_uuid,omitempty"`
	Limit     int    `json:"limit"`
	// Servers restricts to these names or uuids; empty means all.
	Servers []string `json:"servers,omitempty"`
	// Force takes servers that are not due or are suspended, too.
	Force bool `json:"force,omitempty"`
}

// ServerRef is a server as far as a workflow needs it.
type ServerRef struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// ListDueServersResult is one page.
type ListDueServersResult struct {
	Servers []ServerRef `json:"servers"`
	// More says that another page follows after the last server.
	More bool `json:"more,omitempty"`
}

// ListDueServers returns the active servers that are due, a page at a time.
func (a *Activities) ListDueServers(ctx context.Context, in ListDueServersInput) (ListDueServersResult, error) {
	servers, err := a.Catalog.DueServers(ctx, ingest.DueQuery(in))
	if err != nil {
		return ListDueServersResult{}, applicationError(err)
	}
	result := ListDueServersResult{More: len(servers) == in.Limit}
	for _, s := range servers {
		result.Servers = append(result.Servers, ServerRef{UUID: s.UUID, Name: s.Name})
	}
	return result, nil
}
