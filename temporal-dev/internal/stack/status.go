package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// Row describes one process.
type Row struct {
	Name    string `json:"name"`
	Pid     int    `json:"pid"`
	Running bool   `json:"running"`
	Address string `json:"address,omitempty"`
	Log     string `json:"log"`
}

// Status returns all processes with their addresses.
func (s *Stack) Status() []Row {
	at := map[string]string{
		"postgres": s.Get("STEVEDORE_DATABASE_URL"), "rabbitmq": s.Get("STEVEDORE_AMQP_URL"),
		"minio": "http://" + s.Get("STEVEDORE_S3_ENDPOINT"), "temporal": s.Get("TEMPORAL_ADDRESS"), "api": s.Get("STEVEDORE_API_URL"),
	}
	var rows []Row
	for _, name := range s.Names() {
		pid := s.Pid(name)
		rows = append(rows, Row{Name: name, Pid: pid, Running: pid != 0, Address: withoutPassword(at[name]), Log: s.Log(name)})
	}
	return rows
}

// Print writes the rows as a table or as JSON.
func Print(out io.Writer, rows []Row, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(rows)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tPID\tSTATE\tADDRESS\tLOG")
	for _, r := range rows {
		state := "running"
		if !r.Running {
			state = "not running"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\n", r.Name, r.Pid, state, r.Address, r.Log)
	}
	return table.Flush()
}
