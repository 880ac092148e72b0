package ingest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each field of Options must have a setting, and settings of a server must be complete.
func TestSettingsHaveEveryOption(t *testing.T) {
	t.Parallel()
	var fields, options []string
	for i := range reflect.TypeFor[Options]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Options]().Field(i).Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	seen := map[any]string{}
	var server Server
	for _, setting := range Settings {
		if setting.option != nil {
			options = append(options, setting.Field)
		}
		assert.Empty(t, seen[setting.address(&server)], "%s has the value of another setting", setting.Field)
		seen[setting.address(&server)] = setting.Field
		assert.NotEmpty(t, setting.Label)
		assert.NotEmpty(t, setting.Help)
		found, ok := SettingOf(setting.Field)
		assert.True(t, ok)
		assert.Equal(t, setting.Label, found.Label)
	}
	assert.Equal(t, fields, options)
	_, ok := SettingOf("password")
	assert.False(t, ok)
}

// settingTexts has a value other than the default for each setting.
var settingTexts = map[string]string{
	"name": "acme", "host": "sftp.acme.example", "port": "2222", "username": " in ", "host_keys": "ssh-ed25519 A\nssh-ed25519 B", "root_path": "/out ",
	"include": "**/*.csv\n*.xml", "exclude": "*.bak", "scan_interval": "5m0s", "settle": "10s", "max_parallel": "8", "after_ingest": "move:/done",
	"on_collision": "keep", "transfer": "staged", "max_depth": "3", "min_age": "1h0m0s", "done_marker": "*.done", "sidecar_wait": "2m0s",
	"read_once": "true", "legacy_algorithms": "true",
	"in_progress_names": "default\n*.wip", "min_size": "1", "companions": "stay", "identity": "size+hash", "hold_changes": "-1",
	"resent": "deliver", "moved": "deliver", "follow_links": "true", "connect_timeout": "1m0s", "login_timeout": "2s", "answer_timeout": "3m0s",
	"max_connections": "1", "max_reads": "4", "min_rate": "1000", "proxy": "socks5://proxy:1080", "jump": "gate",
	"allow_overlap": "true",
}

// Settings must survive a round trip through text and through JSON, each alone and all
// together.
func TestSettingsSurviveTextAndJSON(t *testing.T) {
	t.Parallel()
	var all Server
	for _, setting := range Settings {
		var one, read Server
		text := settingTexts[setting.Field]
		require.NoError(t, setting.SetText(&one, text), setting.Field)
		assert.Equal(t, text, setting.Text(one))
		assert.False(t, setting.IsDefault(one), setting.Field)
		encoded, err := json.Marshal(setting.Value(one))
		require.NoError(t, err)
		require.NoError(t, setting.SetJSON(&read, encoded))
		assert.Equal(t, one, read, setting.Field)
		setting.Copy(&all, one)
		require.NoError(t, setting.SetText(&one, ""))
		assert.Equal(t, Server{}, one, "an empty text resets %s", setting.Field)
	}
	for _, setting := range Settings {
		assert.Equal(t, settingTexts[setting.Field], setting.Text(all))
	}
	encoded, err := json.Marshal(all.Options)
	require.NoError(t, err)
	var read Options
	require.NoError(t, json.Unmarshal(encoded, &read))
	assert.Equal(t, all.Options, read)
}

// Explicit defaults of options must be stored as none.
func TestExplicitDefaultsOfOptionsAreStoredAsNone(t *testing.T) {
	t.Parallel()
	values := Server{}.SettingValues()
	var read Server
	for _, setting := range Settings {
		encoded, err := json.Marshal(values[setting.Field])
		require.NoError(t, err)
		require.NoError(t, setting.SetJSON(&read, encoded))
	}
	assert.Equal(t, Options{}, read.Options)
}

func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	for _, setting := range Settings {
		if setting.Switch() || setting.Number() || setting.Duration() {
			assert.Error(t, setting.SetText(&Server{}, "perhaps"), setting.Field)
			assert.Error(t, setting.SetJSON(&Server{}, json.RawMessage(`"perhaps"`)), setting.Field)
		}
	}
	valid := Server{Name: "acme", Host: "h", Username: "u"}.WithDefaults(ServerDefaults{})
	require.Empty(t, valid.Validate())
	for _, setting := range Settings {
		for _, text := range invalidTexts(setting) {
			server := valid
			require.NoError(t, setting.SetText(&server, text))
			if errs := server.Validate(); assert.Len(t, errs, 1, "%s %q", setting.Field, text) {
				assert.ErrorContains(t, errs[0], setting.Flag())
			}
		}
	}
	for _, root := range []string{"~x", "~/", "~/../x", "x"} {
		valid.RootPath = root
		assert.Len(t, valid.Validate(), 1, root)
	}
	for _, root := range []string{"~", "~/out", "/"} {
		valid.RootPath = root
		assert.Empty(t, valid.Validate(), root)
	}
}

// invalidTexts returns readable but invalid values of a setting.
func invalidTexts(setting Setting) []string {
	switch {
	case len(setting.Choices) > 0:
		return []string{"x"}
	case setting.Duration() && setting.Min > 0:
		return []string{"1ns", "-1s", "1000000h"}
	case setting.Duration():
		return []string{"-1s", "1000000h"}
	case setting.Number():
		return []string{"-2", "1099511627777"}
	case setting.Field == "include" || setting.Field == "exclude" || setting.Field == "in_progress_names" || setting.Field == "done_marker":
		return []string{"a\x01b", "a\xffb"}
	}
	return nil
}

func TestSameReach(t *testing.T) {
	t.Parallel()
	var server Server
	for _, setting := range Settings {
		changed := server
		require.NoError(t, setting.SetText(&changed, settingTexts[setting.Field]))
		assert.Equal(t, !setting.Reach, SameReach(server, changed), setting.Field)
	}
	assert.True(t, SameReach(server, Server{HostKeys: []string{}}))
	assert.False(t, SameReach(server, Server{PasswordEncrypted: []byte("x")}))
	assert.False(t, SameReach(server, Server{PrivateKeyEncrypted: []byte("x")}))
}
