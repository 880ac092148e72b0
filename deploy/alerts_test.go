package deploy_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"stevedore/internal/ingest"
	"stevedore/internal/telemetry"
)

type alertGroups struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Expr, For    string
			Labels, Annotations map[string]string
		}
	}
}

// TestAlertsUseExistingMetrics: an alert on a misspelled metric or label never fires.
func TestAlertsUseExistingMetrics(t *testing.T) {
	t.Parallel()
	var alerts alertGroups
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "alerts.yml")))
	decoder.KnownFields(true)
	require.NoError(t, decoder.Decode(&alerts))
	labels := map[string][]string{"up": {"job", "instance"}}
	for _, m := range append(telemetry.APIMetrics(), telemetry.WorkerMetrics()...) {
		labels[m.Name] = append([]string{"job", "instance"}, m.Labels...)
	}
	selector := regexp.MustCompile(`\b(stevedore_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`(\w+)(=~|!=|=)"([^"]*)"`)
	seen := map[string]bool{}
	for _, rule := range alerts.Groups[0].Rules {
		require.Regexp(t, `^Stevedore[A-Z]`, rule.Alert)
		require.False(t, seen[rule.Alert], "%s is defined twice", rule.Alert)
		seen[rule.Alert] = true
		require.Contains(t, []string{"warning", "critical"}, rule.Labels["severity"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
		require.NotEmpty(t, rule.Annotations["action"], rule.Alert)
		found := selector.FindAllStringSubmatch(rule.Expr, -1)
		require.NotEmpty(t, found, rule.Alert)
		var known []string
		for _, part := range found {
			require.Contains(t, labels, part[1], rule.Alert)
			known = append(known, labels[part[1]]...)
			for _, match := range matcher.FindAllStringSubmatch(part[2], -1) {
				require.Contains(t, labels[part[1]], match[1], rule.Alert)
				if match[1] == "status" {
					requireStatuses(t, strings.Split(match[3], "|"))
				}
			}
		}
		for _, name := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"]+rule.Annotations["action"], -1) {
			require.Contains(t, known, name[1], rule.Alert)
		}
	}
	for _, alert := range []string{"ServerLate", "FilesInError", "NothingCompletes", "FileLate", "StagingNearlyFull", "WorkerGone"} {
		require.True(t, seen["Stevedore"+alert], alert)
	}
}

func requireStatuses(t *testing.T, names []string) {
	t.Helper()
	for _, name := range names {
		require.True(t, slices.Contains(ingest.Statuses, ingest.Status(name)), name)
	}
}
