package ingest

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each field of Options must have a row in the table, and each row a field.
func TestOptionTableHasEveryOption(t *testing.T) {
	t.Parallel()
	var fields, rows []string
	for i := range reflect.TypeFor[Options]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Options]().Field(i).Tag.Get("json"), ",")
		fields = append(fields, name)
	}
	for _, info := range OptionTable {
		rows = append(rows, info.Field)
		assert.NotPanics(t, func() { info.of(&Options{}) })
		assert.NotEmpty(t, info.Label)
		assert.NotEmpty(t, info.Help)
	}
	assert.Equal(t, fields, rows)
}

// Options must survive a round trip through text and through JSON.
func TestOptionsKeepTheirText(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"in_progress_names": "default\n*.wip", "min_size": "1", "companions": "stay", "identity": "size+hash", "hold_changes": "-1",
		"resent": "deliver", "moved": "deliver", "follow_links": "true", "connect_timeout": "1m0s", "login_timeout": "2s", "answer_timeout": "3m0s",
		"max_connections": "1", "max_reads": "4", "min_rate": "1000", "proxy": "socks5://proxy:1080", "jump": "gate",
		"allow_overlap": "true",
	}
	var all Options
	for _, info := range OptionTable {
		var one Options
		require.NoError(t, info.SetText(&one, texts[info.Field]), info.Field)
		assert.True(t, info.IsSet(one), info.Field)
		assert.Equal(t, texts[info.Field], info.Text(one))
		require.NoError(t, info.SetText(&all, texts[info.Field]))
		require.NoError(t, info.SetText(&one, info.Text(Options{})), "back to the default of %s", info.Field)
		assert.Equal(t, Options{}, one)
	}
	encoded, err := json.Marshal(all)
	require.NoError(t, err)
	var read Options
	require.NoError(t, json.Unmarshal(encoded, &read))
	assert.Equal(t, all, read)
	encoded, err = json.Marshal(Options{}.OptionValues())
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(encoded, &read))
	read.NormalizeOptions()
	assert.Equal(t, Options{}, read, "explicit defaults are read back as defaults")
}

func TestInvalidOptions(t *testing.T) {
	t.Parallel()
	for _, info := range OptionTable {
		if wrong := map[bool]string{true: "perhaps"}[info.Switch()]; wrong != "" {
			assert.Error(t, info.SetText(&Options{}, wrong))
		}
	}
	server := Server{Name: "acme", Host: "h", Username: "u"}.WithDefaults(ServerDefaults{})
	require.Empty(t, server.Validate())
	server.Options = Options{
		Companions: "x", Identity: "x", Resent: "x", MinSize: -1, HoldChanges: -2, MaxConnections: 257, MaxReads: 65, MinRate: -1,
		ConnectTimeout: 1, LoginTimeout: -1, AnswerTimeout: Duration(1 << 60),
	}
	assert.Len(t, server.Validate(), 11)
	for _, root := range []string{"~x", "~/", "~/../x", "x"} {
		server.Options, server.RootPath = Options{}, root
		assert.Len(t, server.Validate(), 1, root)
	}
	for _, root := range []string{"~", "~/out", "/"} {
		server.RootPath = root
		assert.Empty(t, server.Validate(), root)
	}
}
