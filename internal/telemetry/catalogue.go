package telemetry

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one metric of ours, as it is documented.
type Metric struct {
	Name string
	// Type is Prometheus's: gauge, counter or histogram.
	Type string
	// Labels are the names of its labels. None ever holds a path or a file's
	// name: how many series there are does not grow with the files.
	Labels []string
	Help   string
}

// desc is the metric for what is computed when it is asked for.
func (m Metric) desc() *prometheus.Desc { return prometheus.NewDesc(m.Name, m.Help, m.Labels, nil) }

func (m Metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: m.Name, Help: m.Help}, m.Labels)
}

func (m Metric) histogram(buckets ...float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: m.Name, Help: m.Help, Buckets: buckets}, m.Labels)
}

// What every process tells.
var (
	buildInfo   = Metric{"stevedore_build_info", "gauge", []string{"version", "goversion"}, "Always 1; the labels say what runs."}
	poolConns   = Metric{"stevedore_database_connections", "gauge", []string{"state"}, "Connections to PostgreSQL that are in_use or idle."}
	poolMax     = Metric{"stevedore_database_connections_max", "gauge", nil, "The most connections this process may open."}
	poolAcquire = Metric{"stevedore_database_acquires_total", "counter", nil, "How often a connection was taken from the pool."}
	poolWaited  = Metric{"stevedore_database_acquires_waited_total", "counter", nil, "How often nobody's connection was free and one had to be waited for."}
	memoryMax   = Metric{"stevedore_memory_limit_bytes", "gauge", nil, "Memory above which the garbage collector works hardest: GOMEMLIMIT, else 90 % of the cgroup's limit; 0 for none."}
	memoryUsed  = Metric{"stevedore_memory_in_use_bytes", "gauge", nil, "Memory of this process that counts towards the limit."}
	poolWait    = Metric{"stevedore_database_acquire_wait_seconds_total", "counter", nil, "Time spent until a connection was there."}
)

// What the API tells: how the whole stands, by the ledger, and itself.
var (
	ledgerUp        = Metric{"stevedore_ledger_up", "gauge", nil, "1 if the ledger could be read; if not, the metrics that come from it are absent."}
	files           = Metric{"stevedore_files", "gauge", []string{"status"}, "Files in the ledger by status."}
	oldestFile      = Metric{"stevedore_oldest_file_age_seconds", "gauge", []string{"state"}, "How long ago the first seen of the files in the state was seen, error or in_flight; 0 if there is none."}
	servers         = Metric{"stevedore_servers", "gauge", []string{"state"}, "Servers by state: ok, suspended or paused."}
	serverLate      = Metric{"stevedore_server_late", "gauge", []string{"server"}, "1 if the server should have been scanned and was not, for half a minute."}
	serverSuspended = Metric{"stevedore_server_suspended", "gauge", []string{"server"}, "1 if the server is left alone until somebody has mended it."}
	serverScanAge   = Metric{"stevedore_server_last_scan_age_seconds", "gauge", []string{"server"}, "Time since the last scan of the server began; absent before the first."}
	serverLeft      = Metric{"stevedore_server_sources_left", "gauge", []string{"server"}, "Taken files that should have been deleted or moved on the server and are still there."}
	serverAside     = Metric{"stevedore_server_names_aside", "gauge", []string{"server", "reason"}, "Names that the last listing did not take: in_progress, or companion (a done-marker or checksum file without its file)."}
	serverUnread    = Metric{"stevedore_server_unread_folders", "gauge", []string{"server"}, "Folders that the last listing that came to its end could not read."}
	serverHeld      = Metric{"stevedore_server_changes_held", "gauge", []string{"server"}, "Known files that look new in a mass only by their times, and wait for somebody to decide."}
	serverResent    = Metric{"stevedore_server_files_resent", "gauge", []string{"server"}, "Files that are on the server again, the same as before, after they were taken and deleted or moved."}
	partUp          = Metric{"stevedore_part_up", "gauge", []string{"part"}, "1 if the part does its work: postgres, temporal, worker (any of them polls), keyset (the file fits the database), object_store, broker."}
	requests        = Metric{"stevedore_http_request_duration_seconds", "histogram", []string{"method", "route", "status"}, "Time to answer requests, by the route's pattern; streams are not in it."}
	streams         = Metric{"stevedore_http_streams", "gauge", nil, "Streams of changes that are open."}
)

// What a worker tells: what it has done since it was started.
var (
	completed    = Metric{"stevedore_files_completed_total", "counter", []string{"server"}, "Files that were completed: stored, proven and announced."}
	transferred  = Metric{"stevedore_files_transferred_total", "counter", []string{"mode"}, "Files whose object was stored and proven, by transfer mode: memory, staged or direct."}
	downloaded   = Metric{"stevedore_downloaded_bytes_total", "counter", []string{"server"}, "Bytes received from servers, those received again included."}
	uploaded     = Metric{"stevedore_uploaded_bytes_total", "counter", []string{"server"}, "Bytes of files that were stored and proven."}
	attempts     = Metric{"stevedore_step_attempts_total", "counter", []string{"step"}, "Attempts at steps that have ended: discover (one listing of a server), download, verify, upload, notify, after_ingest."}
	failures     = Metric{"stevedore_step_failures_total", "counter", []string{"step", "kind"}, "Attempts that failed, by kind of error. What was handed over, paused or cancelled has not failed."}
	durations    = Metric{"stevedore_step_duration_seconds", "histogram", []string{"step"}, "Time that successful attempts took; for discover it is that of a scan's listing."}
	stagingUp    = Metric{"stevedore_staging_up", "gauge", nil, "1 when the staging folder is there and can be written, 0 when not: /readyz of the worker says why."}
	stagingSize  = Metric{"stevedore_staging_size_bytes", "gauge", nil, "Size of the volume that holds the staging folder."}
	stagingFree  = Metric{"stevedore_staging_free_bytes", "gauge", nil, "What files may still take of it: free space without STEVEDORE_STAGING_RESERVE_BYTES."}
	stagingInUse = Metric{"stevedore_staging_in_use_bytes", "gauge", nil, "What staged files take, room that is reserved for them included."}
	stagingHeld  = Metric{"stevedore_staging_files", "gauge", nil, "Files that have something in staging."}

	commonMetrics = []Metric{buildInfo, memoryMax, memoryUsed, poolConns, poolMax, poolAcquire, poolWaited, poolWait}
	apiMetrics    = []Metric{
		ledgerUp, files, oldestFile, servers, serverLate, serverSuspended, serverScanAge, serverLeft, serverAside, serverUnread, serverHeld, serverResent, partUp, requests, streams,
	}
	workerMetrics = []Metric{
		completed, transferred, downloaded, uploaded, attempts, failures, durations, stagingUp, stagingSize, stagingFree, stagingInUse, stagingHeld,
	}
)

// APIMetrics are what the API has of ours, WorkerMetrics what a worker has.
func APIMetrics() []Metric { return slices.Concat(apiMetrics, commonMetrics) }

// WorkerMetrics see APIMetrics.
func WorkerMetrics() []Metric { return slices.Concat(workerMetrics, commonMetrics) }
