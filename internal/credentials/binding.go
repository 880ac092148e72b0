package credentials

import (
	"encoding/json"
	"slices"
	"strings"

	"stevedore/internal/ingest"
)

// Where is the binding of a server's credentials: the receiver, the user and the
// keys that authenticate the receiver. The JSON names are those of the API.
type Where struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	Username string   `json:"username"`
	HostKeys []string `json:"host_keys"`
	Proxy    string   `json:"proxy,omitempty"`
	Jump     string   `json:"jump,omitempty"`
}

// WhereOf returns the binding of the server's credentials. Of a pinned key only
// its type and value count, not its comment or position.
func WhereOf(server ingest.Server) Where {
	where := Where{
		Host: server.Host, Port: server.Port, Username: server.Username,
		HostKeys: make([]string, 0, len(server.HostKeys)), Proxy: server.Proxy, Jump: server.Jump,
	}
	for _, line := range server.HostKeys {
		words := strings.Fields(line)
		where.HostKeys = append(where.HostKeys, strings.Join(words[:min(2, len(words))], " "))
	}
	slices.Sort(where.HostKeys)
	where.HostKeys = slices.Compact(where.HostKeys)
	return where
}

// Moved returns the changed fields that could send the credentials to another receiver.
// Removed pins are not included, because they reduce the trusted receivers.
func (w Where) Moved(to Where) (fields []string) {
	for _, field := range []struct {
		name string
		same bool
	}{
		{"host", w.Host == to.Host}, {"port", w.Port == to.Port}, {"username", w.Username == to.Username},
		{"host_keys", !slices.ContainsFunc(to.HostKeys, func(key string) bool { return !slices.Contains(w.HostKeys, key) })},
		{"proxy", w.Proxy == to.Proxy}, {"jump", w.Jump == to.Jump},
	} {
		if !field.same {
			fields = append(fields, field.name)
		}
	}
	return fields
}

// place returns the associated data of an encrypted value: table, column, row and
// binding. A change of its format makes existing values unreadable.
func place(field string, server ingest.Server) []byte {
	bound, _ := json.Marshal(WhereOf(server)) // cannot fail for these types
	return append([]byte("sftp_servers/"+field+"/"+server.UUID+"\n"), bound...)
}

// unboundPlace returns the associated data of version 0.2, which did not bind
// values to a receiver. It distinguishes old values from damaged ones.
func unboundPlace(field string, server ingest.Server) []byte {
	return []byte("sftp_servers/" + field + "/" + server.UUID)
}

// Reseal decrypts the credentials of from and encrypts them for to, which is the
// same server after a change. Unused fields stay empty.
func (v *Sealer) Reseal(from, to ingest.Server) (ingest.Server, error) {
	plain, err := v.openAll(from)
	if err != nil {
		return to, err
	}
	return v.SealAll(to, plain)
}
