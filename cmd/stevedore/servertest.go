package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
)

// testResult is a server test as JSON.
type testResult struct {
	Server      string      `json:"server"`
	ServerUUID  string      `json:"server_uuid"`
	OK          bool        `json:"ok"`
	Fingerprint string      `json:"fingerprint"`
	HostKey     string      `json:"host_key"`
	Software    string      `json:"software"`
	Entries     int         `json:"entries"`
	LatencyMS   int64       `json:"latency_ms"`
	Pinned      bool        `json:"pinned"`
	Resumed     bool        `json:"resumed"`
	ErrorKind   ingest.Kind `json:"error_kind"`
	Error       string      `json:"error"`
}

func (a *app) serverTestCommand() *cobra.Command {
	var approve string
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Connect, compare the host key, log in and look at the root folder",
		Long: `Connects to the server as a worker would. Without a pinned host key no
credentials are sent: the key that the server shows is printed, and --approve
with its fingerprint pins it, after you have compared it with what the partner
says. Success ends a suspension.`,
		Example: "  stevedore server test acme\n  stevedore server test acme --approve SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg",
		Args:    exactly("server name or uuid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if approve != "" && !strings.HasPrefix(approve, "SHA256:") {
				return usageError{fmt.Errorf("--approve %q: use a fingerprint like SHA256:n4bQgYhM..., as `ssh-keygen -l` prints it", safe(approve))}
			}
			return a.with("server test", func(ops operations) error {
				result, err := ops.TestServer(cmd.Context(), args[0], approve)
				if err != nil && result.Server.UUID == "" {
					return err
				}
				if printErr := a.printTest(result, err); printErr != nil {
					return printErr
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&approve, "approve", "", "pin the presented host key if it has this `FINGERPRINT`")
	return cmd
}

func (a *app) printTest(r admin.TestResult, err error) error {
	result := testResult{
		Server: r.Server.Name, ServerUUID: r.Server.UUID, OK: err == nil,
		Fingerprint: r.Presented.Fingerprint, HostKey: r.Presented.KeyLine, Pinned: r.Pinned, Resumed: r.Resumed,
		Software: r.Presented.Software, Entries: r.Presented.Entries, LatencyMS: r.Presented.Latency.Milliseconds(),
	}
	if err != nil {
		result.ErrorKind, result.Error = ingest.KindOf(err), message(err)
	}
	return a.printOne(result, func(w io.Writer) {
		if r.Presented.Fingerprint != "" {
			fmt.Fprintf(w, "fingerprint\t%s\nhost key\t%s\n", r.Presented.Fingerprint, safe(r.Presented.KeyLine))
		}
		if r.Pinned {
			fmt.Fprintln(w, "pinned\tyes")
		}
		if r.Resumed {
			fmt.Fprintln(w, "suspension\tended")
		}
		if err == nil {
			fmt.Fprintf(w, "software\t%s\n", dash(r.Presented.Software))
			fmt.Fprintf(w, "login\tok in %s; %s has %d entries\n",
				r.Presented.Latency.Round(time.Millisecond), safe(r.Server.RootPath), r.Presented.Entries)
		}
	})
}
