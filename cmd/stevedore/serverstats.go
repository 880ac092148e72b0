package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

func (a *app) serverStatsCommand() *cobra.Command {
	period := openapi.PeriodDay
	cmd := &cobra.Command{
		Use: "stats [NAME]", Short: "Count completed files, bytes and failures", Args: arguments(0, 1, "server name or uuid"),
		Long: `Counts the completed files, their size and the failures of the last day, week or
month, for each server. With a NAME it counts the files of one server, for each
hour, or for each day in UTC of a week or month. The last hour or day is not over.

A file that fails, is retried and fails again counts as two failures.`,
		Example: "  stevedore server stats\n  stevedore server stats acme --period 7d",
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			params := openapi.GetStatisticsParams{Period: &period}
			if len(args) > 0 {
				params.Server = &args[0]
			}
			stats, err := api.GetStatistics(ctx, &params)
			if err != nil {
				return err
			}
			return a.show(stats, func(t *table) { rowsOfStatistics(t, stats, params.Server != nil) })
		}),
	}
	addChoice(cmd, cmd.Flags(), "period", "", "`PERIOD` that ends now: 24h, 7d or 30d", &choice[openapi.StatisticsPeriod]{
		values: []openapi.StatisticsPeriod{openapi.PeriodDay, openapi.PeriodWeek, openapi.PeriodMonth}, fallback: period,
		set: func(p openapi.StatisticsPeriod) { period = p },
	})
	return a.completeArgs(cmd, serverNames)
}

// rowsOfStatistics adds a row for each bucket of one server, or for each of all servers,
// and one with the totals.
func rowsOfStatistics(t *table, s openapi.Statistics, oneServer bool) {
	first, total := "SERVER", openapi.ServerStatistics{}
	row := func(name string, completed, bytes, failed int64) {
		t.cells(cell{first, name}, cell{"COMPLETED", fmt.Sprint(completed)}, cell{"SIZE", size(bytes)}, cell{"FAILED", fmt.Sprint(failed)})
		total.Completed, total.Bytes, total.Failed = total.Completed+completed, total.Bytes+bytes, total.Failed+failed
	}
	if oneServer {
		layout := map[openapi.StatisticsBucket]string{openapi.BucketHour: "2006-01-02 15:04Z", openapi.BucketDay: time.DateOnly}[s.Bucket]
		first = "FROM"
		for _, b := range s.Buckets {
			row(b.Start.Format(layout), b.Completed, b.Bytes, b.Failed)
		}
	} else {
		for _, c := range s.Servers {
			row(safe(ingest.ServerLabel(c.Server, c.ServerRemoved)), c.Completed, c.Bytes, c.Failed)
		}
	}
	row("total", total.Completed, total.Bytes, total.Failed)
}
