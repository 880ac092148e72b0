package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// testResult is a server test as JSON.
type testResult struct {
	Server string `json:"server"`
	// ServerUUID is empty for a server that is not saved.
	ServerUUID string `json:"server_uuid"`
	openapi.ServerTest
}

func (a *app) serverTestCommand() *cobra.Command {
	var approval openapi.HostKeyApproval
	var expires string
	var list bool
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Connect to a server, compare its host key, log in and list files",
		Long: `Connects to the server as a worker does. Without a pinned host key no
credentials are sent: the command prints the presented key. Compare its
fingerprint with the partner's, then pin it with --approve. A successful test
ends a suspension.`,
		Example: "  stevedore server test acme --list\n  stevedore server test acme --approve SHA256:...",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			if print := approval.Fingerprint; print != "" && !strings.HasPrefix(print, "SHA256:") {
				return usageErrorf("--approve %q: use a fingerprint like SHA256:n4bQgYhM..., as `ssh-keygen -l` prints it", safe(print))
			}
			if expires != "" && approval.Fingerprint == "" {
				return usageErrorf("--expires requires --approve: it is the expiry of the pinned key")
			}
			last, err := parseTime("expires", expires, a.now(), 1)
			if err != nil {
				return err
			}
			if !last.IsZero() {
				approval.Expires = given(last.Format(time.DateOnly))
			}
			server, _, err := api.Server(ctx, args[0])
			if err != nil {
				return err
			}
			if approval.Fingerprint != "" {
				test, err := api.ApproveHostKey(ctx, server.ServerUUID, &openapi.ApproveHostKeyParams{Sample: &list}, approval)
				return a.showTest(server, test, err)
			}
			test, err := api.TestServer(ctx, server.ServerUUID, &openapi.TestServerParams{Sample: &list})
			return a.showTest(server, test, err)
		}),
	}
	cmd.Flags().StringVar(&approval.Fingerprint, "approve", "", "pin the presented host key if it has this `FINGERPRINT`; pinned keys stay")
	cmd.Flags().StringVar(&expires, "expires", "", "with --approve: `TIME` of expiry of the key, 365d or 2027-01-31; the key is valid on that day (default never)")
	cmd.Flags().BoolVar(&list, "list", false, "also list files for at most 15 seconds: those to ingest, and the others with the reason")
	return cmd
}

// showTest prints the result of a test and returns its error, or the error of the request.
func (a *app) showTest(server openapi.Server, test openapi.ServerTest, err error) error {
	if err != nil {
		return err
	}
	if !test.Ok {
		err = ingest.Errorf(ingest.Kind(value(test.ErrorKind)), "%s", value(test.Error))
	}
	printErr := a.show(testResult{server.Name, server.ServerUUID, test}, func(t *table) {
		if test.Fingerprint != nil {
			t.row("fingerprint", *test.Fingerprint)
		}
		if test.Pinned {
			t.row("pinned", "yes")
		}
		if test.Resumed {
			t.row("suspension", "ended")
		}
		switch {
		case !test.Ok && test.Fingerprint != nil && len(server.HostKeys) == 0 && ingest.Kind(value(test.ErrorKind)) == ingest.KindHostKey:
			t.row("result", "not pinned yet") // the first test of a new server, not a failure
			return
		case !test.Ok:
			t.row("result", "FAILED")
			return
		}
		t.row("software", dash(value(test.Software)))
		t.row("login", fmt.Sprintf("ok in %d ms; %s has %s", test.LatencyMs, safe(server.RootPath), ingest.Counted(int64(test.Entries), "entry", "entries")))
		rowsOfDetails(t, test)
	})
	return cmp.Or(printErr, err)
}

// rowsOfDetails adds the negotiated algorithms and the sample.
func rowsOfDetails(t *table, test openapi.ServerTest) {
	if a := test.Algorithms; a != nil {
		t.row("algorithms", safe(strings.Join(nonEmpty(a.KeyExchange, a.HostKey, a.Cipher, a.Mac), ", ")))
	}
	if extensions := value(test.Extensions); len(extensions) > 0 {
		t.row("extensions", safe(strings.Join(extensions, ", ")))
	}
	if l := test.Limits; l != nil {
		t.row("limits", fmt.Sprintf("packet %d, read %d, write %d bytes; %d open handles", l.MaxPacket, l.MaxRead, l.MaxWrite, l.MaxHandles))
	}
	if questions := value(test.Questions); questions > 0 {
		t.row("questions", fmt.Sprintf("%d answered", questions))
	}
	s := test.Sample
	if s == nil {
		return
	}
	least := ""
	if !s.Complete {
		least = "at least "
	}
	t.row("files", fmt.Sprintf("%s%s, %d rejected, %s", least, ingest.Counted(s.Taken, "file matches", "files match"), s.Rejected,
		ingest.Counted(s.Unreadable, "unreadable folder", "unreadable folders")))
	excluded := ingest.Unmatched{Count: s.LeftOut, Example: value(s.LeftOutExample)}
	if excluded.Count > 0 {
		t.row("", excluded.Note(s.Taken).String())
	}
	for _, path := range s.Paths {
		t.row("", safe(path))
	}
	label := "not taken"
	for _, e := range s.Omitted {
		t.row(label, safe(e.Path)+": "+safe(e.Message))
		label = ""
	}
}
