package telemetry

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric describes a stevedore metric. docs/metrics.md is generated from it.
type Metric struct {
	Name string
	// Type is gauge, counter or histogram.
	Type string
	// Labels are label names. No label holds a path or file name, so that the number of
	// series does not grow with the number of files.
	Labels []string
	Help   string
}

// desc describes a metric whose value is computed on collection.
func (m Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

func (m Metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m Metric) histogram(buckets ...float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.Labels)
}

// Metrics of every process.
var (
	buildInfo   = Metric{"stevedore_build_info", "gauge", []string{"version", "goversion"}, "Always 1; the labels hold the version of the program and of Go."}
	poolConns   = Metric{"stevedore_database_connections", "gauge", []string{"state"}, "Connections to PostgreSQL by state: in_use or idle."}
	poolMax     = Metric{"stevedore_database_connections_max", "gauge", nil, "Limit of connections of this process."}
	poolAcquire = Metric{"stevedore_database_acquires_total", "counter", nil, "Connections acquired from the pool."}
	poolWaited  = Metric{"stevedore_database_acquires_waited_total", "counter", nil, "Acquires that had to wait for a free connection."}
	memoryMax   = Metric{"stevedore_memory_limit_bytes", "gauge", nil, "Go's memory limit: GOMEMLIMIT, else 90 % of the cgroup's limit; 0 for none."}
	memoryUsed  = Metric{"stevedore_memory_in_use_bytes", "gauge", nil, "Memory of this process that counts towards the limit."}
	poolWait    = Metric{"stevedore_database_acquire_wait_seconds_total", "counter", nil, "Time spent acquiring connections."}
)

// Metrics of the API: the state of all servers and files, and of its own process.
var (
	ledgerUp        = Metric{"stevedore_ledger_up", "gauge", nil, "1 if the ledger is readable; otherwise the metrics derived from it are absent."}
	files           = Metric{"stevedore_files", "gauge", []string{"status"}, "Files in the ledger by status."}
	oldestFile      = Metric{"stevedore_oldest_file_age_seconds", "gauge", []string{"state"}, "Time since the discovery of the oldest file in the state; 0 if there is none. States: error, or in_flight, which here excludes files that wait for a slot."}
	servers         = Metric{"stevedore_servers", "gauge", []string{"state"}, "Servers by state: ok, suspended or paused."}
	serverLate      = Metric{"stevedore_server_late", "gauge", []string{"server"}, "1 if a scan of the server is overdue by more than half a minute."}
	serverSuspended = Metric{"stevedore_server_suspended", "gauge", []string{"server"}, "1 if the server is suspended until an operator fixes it."}
	serverScanAge   = Metric{"stevedore_server_last_scan_age_seconds", "gauge", []string{"server"}, "Time since the start of the last scan; absent before the first."}
	serverLeft      = Metric{"stevedore_server_sources_left", "gauge", []string{"server"}, "Ingested files that should have been deleted or moved on the server but remain."}
	serverIgnored   = Metric{"stevedore_server_ignored_entries", "gauge", []string{"server", "reason"}, "Names that the last listing ignored: in_progress, or companion (a done-marker or checksum file without its file)."}
	serverUnread    = Metric{"stevedore_server_unread_folders", "gauge", []string{"server"}, "Folders that the last complete listing could not read."}
	serverHeld      = Metric{"stevedore_server_changes_held", "gauge", []string{"server"}, "Known files held for an operator: they look new, but only their times or paths are."}
	serverResent    = Metric{"stevedore_server_files_resent", "gauge", []string{"server"}, "Files that are back on the server, unchanged, after they were ingested and deleted or moved."}
	partUp          = Metric{"stevedore_part_up", "gauge", []string{"part"}, "1 if the part is available: postgres, temporal, worker (one sent a heartbeat within 25 s, and one polls), keyset (it matches the database), object_store, broker."}
	requests        = Metric{"stevedore_http_request_duration_seconds", "histogram", []string{"method", "route", "status"}, "Response time of requests by the route's pattern, without streams."}
	streams         = Metric{"stevedore_http_streams", "gauge", nil, "Open streams of changes."}
)

// Metrics of a worker since its start.
var (
	completed    = Metric{"stevedore_files_completed_total", "counter", []string{"server"}, "Completed files: stored, verified and notified."}
	transferred  = Metric{"stevedore_files_transferred_total", "counter", []string{"mode"}, "Stored and verified files by transfer mode: memory, staged or direct."}
	downloaded   = Metric{"stevedore_downloaded_bytes_total", "counter", []string{"server"}, "Bytes received from servers, including repeated ones."}
	uploaded     = Metric{"stevedore_uploaded_bytes_total", "counter", []string{"server"}, "Bytes of stored and verified files."}
	attempts     = Metric{"stevedore_step_attempts_total", "counter", []string{"step"}, "Finished attempts of steps: discover (one listing of a server), download, verify, upload, transfer (modes memory and direct), notify, after_ingest."}
	failures     = Metric{"stevedore_step_failures_total", "counter", []string{"step", "kind"}, "Failed attempts by kind of error, without attempts that were handed off, paused or cancelled."}
	durations    = Metric{"stevedore_step_duration_seconds", "histogram", []string{"step"}, "Duration of successful attempts; for discover, of a listing."}
	stagingUp    = Metric{"stevedore_staging_up", "gauge", nil, "1 if the staging folder is available and writable, else 0; /readyz of the worker reports the reason."}
	stagingSize  = Metric{"stevedore_staging_size_bytes", "gauge", nil, "Size of the volume that holds the staging folder."}
	stagingFree  = Metric{"stevedore_staging_free_bytes", "gauge", nil, "Space left for files: free space without STEVEDORE_STAGING_RESERVE_BYTES."}
	stagingInUse = Metric{"stevedore_staging_in_use_bytes", "gauge", nil, "Space of staged files, including reserved space."}
	stagingHeld  = Metric{"stevedore_staging_files", "gauge", nil, "Files with data in staging."}

	commonMetrics = []Metric{buildInfo, memoryMax, memoryUsed, poolConns, poolMax, poolAcquire, poolWaited, poolWait}
	apiMetrics    = []Metric{
		ledgerUp, files, oldestFile, servers, serverLate, serverSuspended, serverScanAge, serverLeft, serverIgnored, serverUnread, serverHeld, serverResent, partUp, requests, streams,
	}
	workerMetrics = []Metric{
		completed, transferred, downloaded, uploaded, attempts, failures, durations, stagingUp, stagingSize, stagingFree, stagingInUse, stagingHeld,
	}
)

// APIMetrics returns the stevedore_ metrics of the API.
func APIMetrics() []Metric { return slices.Concat(apiMetrics, commonMetrics) }

// WorkerMetrics returns the stevedore_ metrics of a worker.
func WorkerMetrics() []Metric { return slices.Concat(workerMetrics, commonMetrics) }
