package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// testResult is a server test as JSON.
type testResult struct {
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	openapi.ServerTest
}

func (a *app) serverTestCommand() *cobra.Command {
	var approval openapi.HostKeyApproval
	var expires string
	var sample bool
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Connect, compare the host key, log in and look at the root folder",
		Long: `Connects to the server as a worker would. Without a pinned host key no
credentials are sent: the key that the server shows is printed, and --approve
with its fingerprint pins it, after you have compared it with what the partner
says. Success ends a suspension.`,
		Example: "  stevedore server test acme\n  stevedore server test acme --approve SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg",
		Args:    exactly("server name or uuid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if print := approval.Fingerprint; print != "" && !strings.HasPrefix(print, "SHA256:") {
				return usageError{fmt.Errorf("--approve %q: use a fingerprint like SHA256:n4bQgYhM..., as `ssh-keygen -l` prints it", safe(print))}
			}
			if expires != "" && approval.Fingerprint == "" {
				return usageError{errors.New("--expires needs --approve: it is the expiry of the key that is approved")}
			}
			approval.Expires = given(expires)
			return a.withAPI("server test", func(api *client.API) error { return a.testServer(cmd.Context(), api, args[0], approval, sample) })
		},
	}
	cmd.Flags().StringVar(&approval.Fingerprint, "approve", "", "pin the presented host key if it has this `FINGERPRINT`, beside those that are pinned")
	cmd.Flags().StringVar(&expires, "expires", "", "with --approve: the last `DAY` on which the key counts, 2027-01-31")
	cmd.Flags().BoolVar(&sample, "sample", false, "also list what the patterns take, for at most 15 seconds")
	return cmd
}

func (a *app) testServer(ctx context.Context, api *client.API, name string, approval openapi.HostKeyApproval, sample bool) error {
	server, _, err := api.Server(ctx, name)
	if err != nil {
		return err
	}
	test, err := api.TestServer(ctx, server.ServerUUID, approval, sample)
	if err != nil && test.Error == nil {
		return err // there is no result
	}
	if printErr := a.printTest(server, test); printErr != nil {
		return printErr
	}
	return err
}

func (a *app) printTest(server openapi.Server, test openapi.ServerTest) error {
	return a.printOne(testResult{server.Name, server.ServerUUID, test}, func(w io.Writer) {
		if test.Fingerprint != nil {
			fmt.Fprintf(w, "fingerprint\t%s\nhost key\t%s\n", *test.Fingerprint, safe(value(test.HostKey)))
		}
		if test.Pinned {
			fmt.Fprintln(w, "pinned\tyes")
		}
		if test.Resumed {
			fmt.Fprintln(w, "suspension\tended")
		}
		if test.Ok {
			fmt.Fprintf(w, "software\t%s\n", dash(value(test.Software)))
			fmt.Fprintf(w, "login\tok in %d ms; %s has %s\n", test.LatencyMs, safe(server.RootPath), ingest.Counted(int64(test.Entries), "entry", "entries"))
			printDetails(w, test)
		}
	})
}

// printDetails prints the negotiated algorithms and the sample.
func printDetails(w io.Writer, test openapi.ServerTest) {
	if a := test.Algorithms; a != nil {
		fmt.Fprintf(w, "algorithms\t%s, %s, %s%s\n", safe(a.KeyExchange), safe(a.HostKey), safe(a.Cipher), prefixed(", ", safe(a.Mac)))
	}
	if extensions := value(test.Extensions); len(extensions) > 0 {
		fmt.Fprintf(w, "extensions\t%s\n", safe(strings.Join(extensions, ", ")))
	}
	if l := test.Limits; l != nil {
		fmt.Fprintf(w, "limits\tpacket %d, read %d, write %d bytes; %d open handles\n", l.MaxPacket, l.MaxRead, l.MaxWrite, l.MaxHandles)
	}
	if questions := value(test.Questions); questions > 0 {
		fmt.Fprintf(w, "questions\t%d answered\n", questions)
	}
	s := test.Sample
	if s == nil {
		return
	}
	least := ""
	if !s.Complete {
		least = "at least "
	}
	fmt.Fprintf(w, "sample\t%s%s taken, %d rejected, %s not read\n", least, ingest.Counted(s.Taken, "file is", "files are"), s.Rejected,
		ingest.Counted(s.Unreadable, "folder is", "folders are"))
	left := ingest.Unmatched{Count: s.LeftOut, Example: value(s.LeftOutExample)}
	if note := left.Note(s.Taken); note != "" {
		fmt.Fprintf(w, "\t%s\n", safe(note))
	}
	for _, path := range s.Paths {
		fmt.Fprintf(w, "\t%s\n", safe(path))
	}
}

func prefixed(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}
