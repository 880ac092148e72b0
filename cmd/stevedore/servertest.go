package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/oas"
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
	// Algorithms, Extensions, Questions and Sample are as in the API.
	Algorithms *oas.ServerAlgorithms `json:"algorithms,omitempty"`
	Extensions []string              `json:"extensions,omitempty"`
	Questions  int                   `json:"questions,omitempty"`
	Sample     *oas.ServerSample     `json:"sample,omitempty"`
}

func (a *app) serverTestCommand() *cobra.Command {
	var ask admin.TestRequest
	cmd := &cobra.Command{
		Use: "test NAME", Short: "Connect, compare the host key, log in and look at the root folder",
		Long: `Connects to the server as a worker would. Without a pinned host key no
credentials are sent: the key that the server shows is printed, and --approve
with its fingerprint pins it, after you have compared it with what the partner
says. Success ends a suspension.`,
		Example: "  stevedore server test acme\n  stevedore server test acme --approve SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg",
		Args:    exactly("server name or uuid"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ask.Approve != "" && !strings.HasPrefix(ask.Approve, "SHA256:") {
				return usageError{fmt.Errorf("--approve %q: use a fingerprint like SHA256:n4bQgYhM..., as `ssh-keygen -l` prints it", safe(ask.Approve))}
			}
			return a.with("server test", func(ops operations) error {
				result, err := ops.TestServer(cmd.Context(), args[0], ask)
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
	cmd.Flags().StringVar(&ask.Approve, "approve", "", "pin the presented host key if it has this `FINGERPRINT`, beside those that are pinned")
	cmd.Flags().StringVar(&ask.Expires, "expires", "", "with --approve: the last `DAY` on which the key counts, 2027-01-31")
	cmd.Flags().BoolVar(&ask.Sample, "sample", false, "also list what the patterns take, for at most 15 seconds")
	return cmd
}

func (a *app) printTest(r admin.TestResult, err error) error {
	result := testResult{
		Server: r.Server.Name, ServerUUID: r.Server.UUID, OK: err == nil,
		Fingerprint: r.Presented.Fingerprint, HostKey: r.Presented.KeyLine, Pinned: r.Pinned, Resumed: r.Resumed,
		Software: r.Presented.Software, Entries: r.Presented.Entries, LatencyMS: r.Presented.Latency.Milliseconds(),
	}
	details := oas.FromTest(r, err)
	result.Algorithms, result.Extensions = details.Algorithms, r.Presented.Extensions
	result.Questions, result.Sample = r.Presented.Questions, details.Sample
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
			printDetails(w, r.Presented.ProbedDetails)
		}
	})
}

// printDetails shows what people who look into a server want to see.
func printDetails(w io.Writer, d admin.ProbedDetails) {
	if d.KeyExchange != "" {
		fmt.Fprintf(w, "algorithms\t%s, %s, %s%s\n", safe(d.KeyExchange), safe(d.HostKeyAlgorithm), safe(d.Cipher), prefixed(", ", safe(d.MAC)))
	}
	if len(d.Extensions) > 0 {
		fmt.Fprintf(w, "extensions\t%s\n", safe(strings.Join(d.Extensions, ", ")))
	}
	if d.Questions > 0 {
		fmt.Fprintf(w, "questions\t%d answered\n", d.Questions)
	}
	s := d.Sample
	if s == nil {
		return
	}
	least := ""
	if !s.Complete {
		least = "at least "
	}
	fmt.Fprintf(w, "sample\t%s%d files are taken, %d rejected, %d folders cannot be read\n", least, s.Taken, s.Rejected, s.Unreadable)
	if note := s.Unmatched.Note(s.Taken); note != "" {
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
