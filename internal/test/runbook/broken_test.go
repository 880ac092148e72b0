package runbook_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/temporalnames"
	"stevedore/internal/test/services"
)

// TestRecipesForBrokenServers: the scan of a server that refuses connections completes.
func TestRecipesForBrokenServers(t *testing.T) {
	t.Parallel()
	h, p, _ := newInstallation(t)
	gone := services.StartSSHD(t, services.SSHDOptions{})
	server := h.Register(t, gone, "dead", nil)
	gone.Kill(t)
	h.ScanAndWait(t)

	id := temporalnames.DiscoverWorkflowID(server.UUID)
	p.until(t, "list-broken", regexp.MustCompile(`Completed +`+id).MatchString)
	assert.NotContains(t, p.run(t, "list-faults"), "DiscoverFiles")
	result := p.run(t, "scan-result", "SERVER_UUID", server.UUID)
	assert.Regexp(t, `Status +COMPLETED`, result)
	assert.Contains(t, result, `{"failure":{"kind":"transient","message":"server dead: cannot connect to `)
	shows(t, p, id, "The scan of server `dead` **has ended**", "The last listing failed: `server dead: cannot connect to ")
}
