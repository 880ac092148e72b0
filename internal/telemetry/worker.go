package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Worker holds the metrics of a worker process. It is safe for concurrent use.
type Worker struct {
	process
	completed, transferred, downloaded, uploaded, attempts, failures *prometheus.CounterVec
	durations                                                        *prometheus.HistogramVec
	names                                                            names
}

// NewWorker returns the metrics of a worker process; version is a label of build_info.
func NewWorker(version string) (*Worker, error) {
	p, err := newProcess(version)
	if err != nil {
		return nil, err
	}
	w := &Worker{
		process:   p,
		completed: completed.counter(), transferred: transferred.counter(), downloaded: downloaded.counter(), uploaded: uploaded.counter(),
		attempts: attempts.counter(), failures: failures.counter(),
		durations: durations.histogram(.01, .05, .1, .5, 1, 5, 15, 60, 300, 900, 3600),
	}
	p.registry.MustRegister(w.completed, w.transferred, w.downloaded, w.uploaded, w.attempts, w.failures, w.durations)
	return w, nil
}

// Text returns all metrics in Prometheus's text format.
func (w *Worker) Text() ([]byte, error) { return w.text() }

// Completed counts a completed file of the server.
func (w *Worker) Completed(server string) {
	w.completed.WithLabelValues(w.names.label(server)).Inc()
}

// Transferred counts a file stored in the transfer mode.
func (w *Worker) Transferred(mode string) { w.transferred.WithLabelValues(mode).Inc() }

// Downloaded returns a function that counts bytes received from the server.
func (w *Worker) Downloaded(server string) (add func(bytes int)) {
	counter := w.downloaded.WithLabelValues(w.names.label(server))
	return func(bytes int) { counter.Add(float64(bytes)) }
}

// Uploaded counts the bytes of a stored file of the server.
func (w *Worker) Uploaded(server string, bytes int64) {
	w.uploaded.WithLabelValues(w.names.label(server)).Add(float64(bytes))
}

// Step counts a finished attempt of a step. kind is the kind of its error, empty for
// success. Both must come from fixed sets, because they are label values.
func (w *Worker) Step(step, kind string) {
	w.attempts.WithLabelValues(step).Inc()
	if kind != "" {
		w.failures.WithLabelValues(step, kind).Inc()
	}
}

// StepTook records the duration of a successful attempt.
func (w *Worker) StepTook(step string, took time.Duration) {
	w.durations.WithLabelValues(step).Observe(took.Seconds())
}

// Staging is the state of the staging folder.
type Staging struct {
	// Up reports whether the folder is available and writable. If not, the other fields
	// are not exported.
	Up bool
	// Size and Free describe the volume, InUse the staged files; in bytes.
	Size, Free, InUse int64
	Files             int
}

// WatchStaging adds the state of staging to the metrics. Call it at most once.
func (w *Worker) WatchStaging(state func() Staging) {
	w.registry.MustRegister(computed(func(emit emitter) {
		s := state()
		if !s.Up {
			emit.gauge(stagingUp, 0)
			return
		}
		emit.gauge(stagingUp, 1)
		emit.gauge(stagingSize, float64(s.Size))
		emit.gauge(stagingFree, float64(s.Free))
		emit.gauge(stagingInUse, float64(s.InUse))
		emit.gauge(stagingHeld, float64(s.Files))
	}))
}
