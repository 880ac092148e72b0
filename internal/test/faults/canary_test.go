package faults_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/proto"

	"stevedore/api"
	"stevedore/internal/config"
	"stevedore/internal/credentials"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/temporalnames"
	"stevedore/internal/test/sandbox"
	"stevedore/internal/test/services"
	"stevedore/internal/wiring"
)

// TestFault67_CanariesStayInside: the life of files and servers, including failures,
// leaves no secret in logs, workflow histories, errors, API, console, notifications,
// objects or the database.
func TestFault67_CanariesStayInside(t *testing.T) {
	t.Parallel()
	h := sandbox.NewCluster(t)
	c := newCanaries(t, h)
	worker := h.StartProcess(t, sandbox.ProcessOptions{Env: []string{"STEVEDORE_LOG_LEVEL=debug"}})
	right := services.StartSSHD(t, services.SSHDOptions{Password: c.secrets["right password"]})
	h.Adopt(t, right, "right", nil)
	right.Write(t, "a.csv", sandbox.Random(100))
	keyed := h.AddServer(t, "keyed", nil)
	keyed.Write(t, "b.csv", sandbox.Random(200))
	c.secrets["private key"] = strings.Split(string(keyed.PrivateKeyPEM), "\n")[2]
	refused := services.StartSSHD(t, services.SSHDOptions{Password: "something else"})
	h.Register(t, refused, "refused", func(s *ingest.Server) {
		s.PasswordEncrypted = h.Seal(t, *s, credentials.FieldPassword, []byte(c.secrets["wrong password"]))
	})
	h.ScanAndWait(t)
	for sshd, name := range map[*services.SSHD]string{right: "a.csv", keyed: "b.csv"} {
		h.AwaitIngest(t, h.Completed(t, sshd.Path(name)).UUID)
	}

	c.useTheAPI(t)
	c.sendKeys(t)
	c.useTheForm(t)
	c.makeToken(t)
	c.rotateKeys(t)
	h.ScanAndWait(t) // with the new key
	c.readTheAPI(t)
	c.readTheConsole(t)
	c.readTemporal(t)
	c.readTheDatabase(t)
	c.readNotifications(t)
	c.look(t, "the objects", fmt.Appendf(nil, "%+v", h.S3.Objects(t)))
	c.look(t, "the worker's log", worker.Log(t))
	c.look(t, "the API's log", c.log.bytes())
	assert.Contains(t, string(worker.Log(t)), "refused the credentials", "the log lacks the refused login")
	h.RequireExactlyOnce(t)
}

// canaries searches for secrets in every encoding in which they could appear.
type canaries struct {
	h       *sandbox.Cluster
	base    string
	ops     *operations.Service
	log     *safeBuffer
	secrets map[string]string
	looks   int
}

func newCanaries(t *testing.T, h *sandbox.Cluster) *canaries {
	t.Helper()
	c := &canaries{h: h, log: &safeBuffer{}, secrets: map[string]string{
		"right password":   "canary-right-" + hex.EncodeToString(sandbox.Random(8)),
		"wrong password":   "canary-wrong-" + hex.EncodeToString(sandbox.Random(9)),
		"new password":     "canary-new-" + hex.EncodeToString(sandbox.Random(10)),
		"api token":        "canary-token-" + hex.EncodeToString(sandbox.Random(16)),
		"proxy's password": "canary-proxy-" + hex.EncodeToString(sandbox.Random(11)),
		"passphrase":       "canary-phrase-" + hex.EncodeToString(sandbox.Random(12)),
		"wrong passphrase": "canary-phase-" + hex.EncodeToString(sandbox.Random(13)),
		"wrong token":      "canary-unknown-" + hex.EncodeToString(sandbox.Random(14)),
		"store's secret":   h.Cfg.S3.SecretKey.Reveal(),
	}}
	for part, address := range map[string]string{"database's password": h.Cfg.Database.URL.Reveal(), "broker's password": h.Cfg.AMQP.URL.Reveal()} {
		parsed, err := url.Parse(address)
		require.NoError(t, err)
		c.secrets[part], _ = parsed.User.Password()
	}
	cfg, err := config.Load(config.Options{Environ: append(h.Env, "TEMPORAL_ADDRESS="+os.Getenv("TEMPORAL_ADDRESS"))})
	require.NoError(t, err)
	log := slog.New(slog.NewJSONHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	parts, err := wiring.New(cfg, log, wiring.Options{TaskQueue: h.Queue})
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	stopping, stop := context.WithCancel(context.Background())
	served := httptest.NewServer(api.NewHandler(api.Deps{Operations: parts.Operations(), Access: parts.Access(), StartTimeout: sandbox.Timeout, Token: c.secrets["api token"], Log: log, Stopping: stopping.Done()}))
	t.Cleanup(served.Close)
	t.Cleanup(stop)
	c.base, c.ops = served.URL, parts.Operations()
	return c
}

// look fails the test if the text contains a secret.
func (c *canaries) look(t *testing.T, where string, found []byte) {
	t.Helper()
	c.looks++
	require.NotEmpty(t, found, "%s: nothing was read", where)
	for name, secret := range c.secrets {
		require.GreaterOrEqual(t, len(secret), 12, "%s is too short to be unique", name)
		for _, spelling := range []string{
			secret, url.QueryEscape(secret), hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))[:len(secret)],
		} {
			assert.False(t, bytes.Contains(found, []byte(spelling)), "%s shows the %s", where, name)
		}
	}
}

// call sends a request to the API and searches the response.
func (c *canaries) call(t *testing.T, client *http.Client, method, path, body string, header ...string) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(c.h.Context(t), method, c.base+path, strings.NewReader(body))
	require.NoError(t, err)
	if client == http.DefaultClient {
		request.Header.Set("Authorization", "Bearer "+c.secrets["api token"])
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Less(t, answer.StatusCode, 500, "%s %s: %s", method, path, text)
	c.look(t, method+" "+path, fmt.Appendf(text, "%d %v", answer.StatusCode, answer.Header))
	return answer.StatusCode
}

// useTheAPI sends secrets to the API in valid and invalid requests.
func (c *canaries) useTheAPI(t *testing.T) {
	password := c.secrets["new password"]
	good := `{"name":"made","host":"127.0.0.1","username":"u","password":"` + password + `"}`
	for _, body := range []string{
		good,
		good, // already present
		strings.Replace(good, `"u"`, `7`, 1),
		strings.Replace(good, `"host"`, `"hots"`, 1),
		good[:len(good)-1],
		`{"name":"made","password":["` + password + `"]}`,
	} {
		c.call(t, http.DefaultClient, "POST", "/api/v1/servers", body)
	}
	c.call(t, http.DefaultClient, "PATCH", "/api/v1/servers/made", `{"password":"`+password+`"}`, "If-Match", "*")
	c.call(t, http.DefaultClient, "PATCH", "/api/v1/servers/made", `{"password":"`+password+`","port":99999}`, "If-Match", "*")
	for _, server := range []string{"made", "refused", "right"} {
		c.call(t, http.DefaultClient, "POST", "/api/v1/servers/"+server+":test", "")
		c.call(t, http.DefaultClient, "POST", "/api/v1/servers/"+server+":test?sample=true", "", "Idempotency-Key", "test-"+server)
	}
	c.call(t, http.DefaultClient, "PATCH", "/api/v1/servers/made", `{"proxy":"socks5://user:`+c.secrets["proxy's password"]+`@127.0.0.1:1"}`, "If-Match", "*")
	c.call(t, http.DefaultClient, "PATCH", "/api/v1/servers/made", `{"proxy":"http://`+c.secrets["proxy's password"]+`@127.0.0.1:1"}`, "If-Match", "*")
	c.call(t, http.DefaultClient, "GET", "/api/v1/servers", "", "Authorization", "Bearer "+c.secrets["wrong token"])
}

// sendKeys sends an encrypted private key to the API: with its passphrase, a wrong one
// and none, and with an invalid certificate.
func (c *canaries) sendKeys(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	passphrase := c.secrets["passphrase"]
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	require.NoError(t, err)
	text := string(pem.EncodeToMemory(locked))
	c.secrets["locked key"] = strings.Split(text, "\n")[2]
	open, err := ssh.MarshalPrivateKey(key, "")
	require.NoError(t, err)
	c.secrets["unlocked key"] = strings.Split(string(pem.EncodeToMemory(open)), "\n")[2]
	for i, fields := range []map[string]string{
		{"passphrase": passphrase},
		{"passphrase": c.secrets["wrong passphrase"]},
		{},
		{"passphrase": passphrase, "certificate": "ssh-ed25519-cert-v01@openssh.com " + c.secrets["wrong passphrase"]},
	} {
		fields["name"], fields["host"], fields["username"], fields["private_key"] = fmt.Sprintf("keys%d", i), "127.0.0.1", "u", text
		body, err := json.Marshal(fields)
		require.NoError(t, err)
		c.call(t, http.DefaultClient, "POST", "/api/v1/servers", string(body))
	}
	c.call(t, http.DefaultClient, "POST", "/api/v1/servers/keys0:test", "")
}

// useTheForm sends secrets in a form that is refused and shown again.
func (c *canaries) useTheForm(t *testing.T) {
	browser := c.browser(t)
	c.call(t, browser, "POST", "/servers", url.Values{
		"name": {"not a name"}, "host": {"127.0.0.1"}, "username": {"u"}, "password": {c.secrets["new password"]},
		"passphrase": {c.secrets["passphrase"]}, "private_key": {c.secrets["locked key"]}, "proxy": {"socks5://u:" + c.secrets["proxy's password"] + "@127.0.0.1:1"},
	}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
}

// makeToken creates a token, whose secret is shown once and nowhere else.
func (c *canaries) makeToken(t *testing.T) {
	request, err := http.NewRequestWithContext(c.h.Context(t), http.MethodPost, c.base+"/api/v1/tokens", strings.NewReader(`{"name":"new","role":"viewer"}`))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+c.secrets["api token"])
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", "a-token")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	var made struct {
		Secret string `json:"token"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&made))
	require.NotEmpty(t, made.Secret)
	c.secrets["new token"] = made.Secret
	c.call(t, http.DefaultClient, "GET", "/api/v1/files", "", "Authorization", "Bearer "+made.Secret)
}

// rotateKeys encrypts all credentials with a new key. No key of the keyset may appear
// anywhere, before or after.
func (c *canaries) rotateKeys(t *testing.T) {
	keys := func(name string) {
		text, err := os.ReadFile(c.h.Cfg.Credentials.KeysetFile)
		require.NoError(t, err)
		var set struct {
			Key []struct{ KeyData struct{ Value string } }
		}
		require.NoError(t, json.Unmarshal(text, &set))
		require.NotEmpty(t, set.Key)
		for i, key := range set.Key {
			require.NotEmpty(t, key.KeyData.Value)
			c.secrets[fmt.Sprintf("%s %d", name, i)] = strings.TrimRight(key.KeyData.Value, "=")
		}
	}
	keys("key of the keyset")
	_, err := c.ops.RotateKey(c.h.Context(t), operations.RotateRequest{})
	require.NoError(t, err)
	keys("rotated key of the keyset")
}

// browser returns a client that is logged in to the console.
func (c *canaries) browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	c.call(t, browser, "POST", "/login", url.Values{"token": {c.secrets["api token"]}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	at, err := url.Parse(c.base)
	require.NoError(t, err)
	require.NotEmpty(t, jar.Cookies(at), "the login to the console failed")
	return browser
}

// readTheAPI reads every resource of the specification.
func (c *canaries) readTheAPI(t *testing.T) {
	spec, err := openapi3.NewLoader().LoadFromFile("../../../api/openapi.yaml")
	require.NoError(t, err)
	fill := strings.NewReplacer("{server}", "right", "{file_uuid}", c.h.Files(t)[0].UUID, "{id}", "1",
		"{scan_uuid}", strings.TrimPrefix(c.h.LastScan, temporalnames.ScanWorkflowID("")), "{audit_uuid}", "00000000-0000-0000-0000-000000000000")
	for path, item := range spec.Paths.Map() {
		if item.Get == nil || strings.HasSuffix(path, "/changes") {
			continue // changes contain the same rows as the other responses
		}
		status := c.call(t, http.DefaultClient, "GET", fill.Replace(path), "")
		require.True(t, status == http.StatusOK || strings.Contains(path, "{audit_uuid}"), "GET %s: %d", path, status)
	}
}

// readTheConsole reads the console's pages with a logged-in browser.
func (c *canaries) readTheConsole(t *testing.T) {
	browser := c.browser(t)
	for _, page := range []string{
		"/", "/servers", "/servers/new", "/servers/right", "/servers/refused", "/servers/made/edit", "/files", "/files/" + c.h.Files(t)[0].UUID,
		"/scans", "/audits", "/audit-log", "/tokens",
	} {
		require.Equal(t, http.StatusOK, c.call(t, browser, "GET", page, ""), page)
	}
}

// readTemporal reads all histories in Temporal.
func (c *canaries) readTemporal(t *testing.T) {
	ids := []string{c.h.LastScan}
	servers, err := c.h.Store.Servers(c.h.Context(t), "", 100)
	require.NoError(t, err)
	for _, server := range servers {
		if !server.LastScanAt.IsZero() {
			ids = append(ids, temporalnames.DiscoverWorkflowID(server.UUID))
		}
	}
	for _, file := range c.h.Files(t) {
		ids = append(ids, temporalnames.IngestWorkflowID(file.UUID))
	}
	for _, id := range ids {
		description, err := c.h.Temporal.DescribeWorkflowExecution(c.h.Context(t), id, "")
		require.NoError(t, err, id)
		found, err := proto.Marshal(description)
		require.NoError(t, err)
		history := c.h.Temporal.GetWorkflowHistory(c.h.Context(t), id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for history.HasNext() {
			event, err := history.Next()
			require.NoError(t, err)
			found, err = proto.MarshalOptions{}.MarshalAppend(found, event)
			require.NoError(t, err)
		}
		c.look(t, "workflow "+id, found)
	}
}

// readTheDatabase reads every row of every table.
func (c *canaries) readTheDatabase(t *testing.T) {
	conn, err := pgx.Connect(c.h.Context(t), c.h.Cfg.Database.URL.Reveal())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(c.h.Context(t))) }()
	rows, err := conn.Query(c.h.Context(t), `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Greater(t, len(tables), 4)
	for _, table := range tables {
		rows, err := conn.Query(c.h.Context(t), "SELECT row::text FROM "+table+" AS row")
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		c.look(t, "table "+table, []byte(table+"\n"+strings.Join(lines, "\n")))
	}
}

// readNotifications reads the messages and leaves them in the queue.
func (c *canaries) readNotifications(t *testing.T) {
	for range c.h.Files(t) {
		message, ok, err := c.h.AMQP.Channel.Get(c.h.AMQP.Queue, false)
		require.NoError(t, err)
		require.True(t, ok, "a file was not notified")
		c.look(t, "a notification", fmt.Appendf(message.Body, "%v %+v", message.Headers, message))
		defer func() { require.NoError(t, message.Nack(false, true)) }()
	}
}

// safeBuffer is a buffer for concurrent writers.
type safeBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}
