package credentials

import (
	"encoding/json"
	"slices"
	"strings"

	"stevedore/internal/ingest"
)

// Where is what a server's credentials are bound to: where they are sent, as
// whom, and by which key the receiver proves itself. Each name is the field of
// the API.
type Where struct {
	Host     string   `json:"host"`
	Port     int      `json:"port"`
	Username string   `json:"username"`
	HostKeys []string `json:"host_keys"`
	Proxy    string   `json:"proxy,omitempty"`
	Jump     string   `json:"jump,omitempty"`
}

// WhereOf returns what the server's credentials are bound to. Of a pinned key
// only type and key count, not its comment nor the order of the pins.
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

// Moved returns the fields that a change from one to the other sets so that the
// credentials could reach somebody else. Pins that are removed are not among
// them: fewer receivers are trusted.
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

// place is the associated data of a sealed value: table, column, row and where
// the value may be sent. It is part of every sealed value's authentication: a
// change of it makes all that was sealed before unreadable.
func place(field string, server ingest.Server) []byte {
	bound, _ := json.Marshal(WhereOf(server)) // texts and numbers: cannot fail
	return append([]byte("sftp_servers/"+field+"/"+server.UUID+"\n"), bound...)
}

// unboundPlace is the associated data that version 0.2 sealed with, which did
// not bind a value to where it may be sent. It tells old values from damaged ones.
func unboundPlace(field string, server ingest.Server) []byte {
	return []byte("sftp_servers/" + field + "/" + server.UUID)
}

// Reseal opens the credentials of from and seals them for to, which is the same
// server after a change. Fields that it does not use stay empty.
func (v *Sealer) Reseal(from, to ingest.Server) (ingest.Server, error) {
	plain, err := v.openAll(from)
	if err != nil {
		return to, err
	}
	if len(from.PasswordEncrypted) > 0 {
		if to.PasswordEncrypted, err = v.Seal(FieldPassword, to, plain.Password); err != nil {
			return to, err
		}
	}
	if len(from.PrivateKeyEncrypted) > 0 {
		to.PrivateKeyEncrypted, err = v.Seal(FieldPrivateKey, to, plain.PrivateKey)
	}
	return to, err
}
