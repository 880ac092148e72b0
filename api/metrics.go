package api

import (
	"context"
	"net/http"
	"sync"
	"time"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
	"stevedore/internal/telemetry"
)

// scrapeTimeout bounds the collection of metrics. Prometheus's default timeout is 10
// seconds; after it, all metrics of the scrape would be missing.
const scrapeTimeout = 5 * time.Second

// GetMetrics returns the metrics of the installation and of this process.
func (h handlers) GetMetrics(ctx context.Context, _ openapi.GetMetricsRequestObject) (openapi.GetMetricsResponseObject, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
	defer cancel()
	state := telemetry.State{Parts: map[string]bool{}}
	var asked sync.WaitGroup
	asked.Go(func() {
		for _, part := range h.Operations.Ready(ctx) {
			state.Parts[part.Part] = part.Err == nil
		}
	})
	overview, err := h.Operations.Overview(ctx)
	if err == nil {
		state.Ledger = measuredLedger(overview)
	}
	asked.Wait()
	text, err := h.Metrics.Text(state)
	return metricsAnswer(text), err
}

// metricsAnswer is a response whose Content-Type names the version of the format, unlike
// the generated one.
type metricsAnswer []byte

// VisitGetMetricsResponse writes the metrics.
func (m metricsAnswer) VisitGetMetricsResponse(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", telemetry.ContentType)
	_, err := w.Write(m)
	return err
}

func measuredLedger(o operations.Overview) *telemetry.Ledger {
	ledger := &telemetry.Ledger{Files: map[string]int64{}}
	for _, status := range ingest.Statuses {
		ledger.Files[string(status)] = o.Files[status]
	}
	if o.OldestInError != nil {
		ledger.OldestInError = o.At.Sub(o.OldestInError.CreatedAt)
	}
	if o.OldestInFlight != nil {
		ledger.OldestInFlight = o.At.Sub(o.OldestInFlight.CreatedAt)
	}
	for _, server := range o.Servers {
		ledger.Servers = append(ledger.Servers, measuredServer(server, o.At))
	}
	return ledger
}

func measuredServer(s operations.ServerOverview, at time.Time) telemetry.Server {
	measured := telemetry.Server{Name: s.Server.Name, State: telemetry.ServerOK, Late: s.Server.Late, ScanAge: -1,
		Left: s.Server.Left.Sources, InProgress: s.Server.Left.InProgress, Alone: s.Server.Left.Alone,
		Unread: s.Server.Unread.Count, Held: s.Server.Attention.Held.Files, Resent: s.Server.Attention.Resent}
	if s.Server.State == ingest.ServerSuspended {
		measured.State = telemetry.ServerSuspended
	}
	if !s.Server.Active {
		measured.State = telemetry.ServerPaused
	}
	if last := s.Server.LastScanAt; !last.IsZero() {
		measured.ScanAge = max(0, at.Sub(last))
	}
	return measured
}
