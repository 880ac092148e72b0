package activities

import (
	"context"
	"time"

	"stevedore/internal/temporalnames"
)

// ListHostsInput sets the maximum age of a host's heartbeat.
type ListHostsInput struct {
	Within time.Duration `json:"within"`
}

// ListHostsResult has the task queues of the hosts.
type ListHostsResult struct {
	Queues []string `json:"queues,omitempty"`
}

// ListHosts returns the queues of the workers with a heartbeat within the time.
func (a *Activities) ListHosts(ctx context.Context, in ListHostsInput) (ListHostsResult, error) {
	hosts, err := a.Reconciliation.Hosts(ctx, in.Within)
	var result ListHostsResult
	for _, id := range hosts {
		result.Queues = append(result.Queues, temporalnames.HostQueue(id))
	}
	return result, applicationError(err)
}
