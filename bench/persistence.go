package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// persistenceLine matches a counter of the Temporal server's requests to its database,
// including visibility.
var persistenceLine = regexp.MustCompile(`(?m)^(?:visibility_)?persistence_requests\{.*?operation="(\w+)".*?\} (\S+)$`)

// reading are the prefixes of read-only operations.
var reading = []string{"Get", "List", "Read", "Count", "Describe", "Assert", "Scan"}

// PersistenceWrites returns the number of writing requests of the Temporal server to its
// database since its start. Each request is one SQLite transaction; a request that
// appends history has a second one for the events. The server has no counter of
// transactions.
func PersistenceWrites(ctx context.Context) (float64, error) {
	url, err := TemporalMetricsURL()
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return countWrites(string(text))
}

func countWrites(text string) (sum float64, err error) {
	lines := persistenceLine.FindAllStringSubmatch(text, -1)
	if len(lines) == 0 {
		return 0, fmt.Errorf("the metrics have no persistence_requests: %.200q", text)
	}
	for _, line := range lines {
		n, err := strconv.ParseFloat(line[2], 64)
		if err != nil {
			return 0, err
		}
		if !reads(line[1]) {
			sum += n
		}
	}
	return sum, nil
}

func reads(operation string) bool {
	for _, prefix := range reading {
		if strings.HasPrefix(operation, prefix) && !strings.HasPrefix(operation, "GetOrCreate") {
			return true
		}
	}
	return false
}
