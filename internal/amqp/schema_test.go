package amqp_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// TestNotificationsFitTheirSchema: consumers rely on api/notification.schema.json. It names every field that
// is published, and requires those that are always present.
func TestNotificationsFitTheirSchema(t *testing.T) {
	t.Parallel()
	schema := notificationSchema(t)
	b := setup(t)
	for _, path := range []string{"/out/a.csv", "/out/\xffbad\nname"} {
		a := notification(path)
		a.Object.SHA256 = strings.Repeat("0f", 32)
		_, err := b.pub.Publish(t.Context(), a)
		require.NoError(t, err)
		body := b.take(t).Body
		event, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(event))

		fields := event.(map[string]any)
		requireNamed(t, schema, fields)
		requireNamed(t, schema.Properties["data"], fields["data"].(map[string]any))
		for _, name := range schema.Properties["data"].Required {
			changed, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
			require.NoError(t, err)
			delete(changed.(map[string]any)["data"].(map[string]any), name)
			require.Error(t, schema.Validate(changed), "without %s", name)
		}
	}
}

func notificationSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile("../../api/notification.schema.json")
	require.NoError(t, err)
	return schema
}

func requireNamed(t *testing.T, schema *jsonschema.Schema, fields map[string]any) {
	t.Helper()
	for name := range fields {
		require.Contains(t, schema.Properties, name)
	}
}

// The example in docs/consumers.md fits the schema.
func TestDocumentedNotification(t *testing.T) {
	t.Parallel()
	schema := notificationSchema(t)
	text, err := os.ReadFile("../../docs/consumers.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(text), "```json\n")
	require.True(t, found)
	example, _, _ = strings.Cut(example, "```")
	event, err := jsonschema.UnmarshalJSON(strings.NewReader(example))
	require.NoError(t, err)
	require.NoError(t, schema.Validate(event))
}
