package testenv

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"stevedore/internal/ingest"
)

// Logger is silent unless STEVEDORE_TEST_LOG is set.
func Logger() *slog.Logger {
	if os.Getenv("STEVEDORE_TEST_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.DiscardHandler)
}

// Temporal connects to the server of TEMPORAL_ADDRESS and returns a task queue
// of the test's own. Tests share the namespace: workflow ids hold random
// uuids, so only the queue must differ. It skips the test under -short.
func Temporal(t testing.TB) (c client.Client, taskQueue string) {
	t.Helper()
	address := setting(t, "TEMPORAL_ADDRESS")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Logger: sdklog.NewStructuredLogger(Logger()),
	})
	if err != nil {
		t.Fatalf("connect to Temporal at %s: %v", address, err)
	}
	t.Cleanup(c.Close)
	// Adding what is there already is fine: tests of several processes race here.
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: client.DefaultNamespace,
		SearchAttributes: map[string]enumspb.IndexedValueType{
			ingest.SearchServer: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			ingest.SearchStatus: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			ingest.SearchSize:   enumspb.INDEXED_VALUE_TYPE_INT,
		},
	})
	if err != nil && !strings.Contains(err.Error(), "already exist") {
		t.Fatalf("add search attributes: %v", err)
	}
	return c, "test-" + strings.ToLower(rand.Text())
}
