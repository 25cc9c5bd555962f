package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"laurel/cache"
	"laurel/httpapi/handler"
	"laurel/score"
)

// metrics are the metrics of one API. Their children are made beforehand, because finding
// one by its labels costs more than counting.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	problems *prometheus.CounterVec        // by code
	events   map[string]prometheus.Counter // by status; not changed after it has been made
	reads    readCounters
	// hits and waits are of reads; found without a look-up, because they are frequent.
	hits, waits *atomic.Uint64
}

func newMetrics(r prometheus.Registerer) *metrics {
	factory := promauto.With(r)
	m := &metrics{
		requests: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "laurel_http_requests_total",
			Help: "Requests answered, by port (client, or peer for forwarded ones), route, method and status " +
				"(499: the client did not wait).",
		}, []string{"port", "route", "method", "status"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "laurel_http_request_seconds",
			Help:    "Time from a request's header to the end of its answer; NDJSON streams are left out.",
			Buckets: []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"port", "route", "method"}),
		problems: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "laurel_http_problems_total",
			Help: "Problems answered, by code; those of refused events included.",
		}, []string{"code"}),
		inFlight: factory.NewGauge(prometheus.GaugeOpts{
			Name: "laurel_http_requests_in_flight",
			Help: "Requests being answered now.",
		}),
		events: map[string]prometheus.Counter{},
		reads:  newReadCounters(factory),
	}
	m.hits, m.waits = m.reads[cache.Hit], m.reads[cache.Wait]
	// All children are shown from the start.
	for _, c := range score.Codes() {
		m.problems.WithLabelValues(string(c))
	}
	events := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "laurel_http_events_total",
		Help: "Events posted here, by their result.",
	}, []string{"status"})
	for _, status := range []string{score.Applied, score.Duplicate, refused} {
		m.events[status] = events.WithLabelValues(status)
	}
	return m
}

// readCounters count the reads by how they were answered. The map is not changed after it
// has been made.
type readCounters map[string]*atomic.Uint64

// How a read was answered, besides the constants of package cache.
const (
	refused = "refused"
	pulled  = "pulled" // from memory in pull mode
)

func newReadCounters(factory promauto.Factory) readCounters {
	c := readCounters{}
	for _, how := range []string{cache.Hit, cache.Wait, cache.Load, cache.Forward, cache.Stale, refused, pulled} {
		n := new(atomic.Uint64)
		c[how] = n
		factory.NewCounterFunc(prometheus.CounterOpts{
			Name: "laurel_reads_total",
			Help: "Reads, by how they were answered: from memory at once (hit) or once released (wait), " +
				"from this frontend's state (load), by the master (forward), from memory in pull mode (pulled), " +
				"from old state if the client accepts that (stale), or not (refused). " +
				"The master counts forwarded reads, too.",
			ConstLabels: prometheus.Labels{"answered": how},
		}, func() float64 { return float64(n.Load()) })
	}
	return c
}

func (c readCounters) answered() (n uint64) {
	for how, one := range c {
		if how != refused {
			n += one.Load()
		}
	}
	return n
}

func (c readCounters) count(a *answer) {
	how := a.how
	if how == cache.Hit && a.mode == score.Pull {
		how = pulled
	}
	if n := c[how]; n != nil {
		n.Add(1)
	}
}

func (m *metrics) countProblem(code score.Code) { m.problems.WithLabelValues(string(code)).Inc() }

func (m *metrics) countEvents(results []score.Result) {
	status := func(r *score.Result) string {
		if r.Problem != nil {
			return refused
		}
		return r.Status
	}
	for len(results) > 0 {
		same, n := status(&results[0]), 1
		for n < len(results) && status(&results[n]) == same {
			n++
		}
		if c := m.events[same]; c != nil { // else the master is of another version
			c.Add(float64(n))
		}
		results = results[n:]
	}
}

// requestMetrics are the metrics of one method of one route at one port.
type requestMetrics struct {
	seconds  prometheus.Observer
	requests *prometheus.CounterVec     // by status
	usual    map[int]prometheus.Counter // of requests; not changed after it has been made
}

func (m *metrics) request(port, route, method string) requestMetrics {
	of := prometheus.Labels{"port": port, "route": route, "method": method}
	r := requestMetrics{m.seconds.With(of), m.requests.MustCurryWith(of), map[int]prometheus.Counter{}}
	for _, status := range [...]int{
		http.StatusOK, http.StatusNotModified, http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden,
		http.StatusNotFound, http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	} {
		r.usual[status] = r.requests.WithLabelValues(strconv.Itoa(status))
	}
	return r
}

func (m *requestMetrics) done(status int, took time.Duration, stream bool) {
	counter := m.usual[status]
	if counter == nil {
		counter = m.requests.WithLabelValues(strconv.Itoa(status))
	}
	counter.Inc()
	if !stream {
		m.seconds.Observe(took.Seconds())
	}
}

// metricsAge is how old the page of the metrics may be. Making it takes milliseconds, so
// all who ask within that time get the same page.
const metricsAge = time.Second

// metricsPage is the page with all metrics of a frontend.
type metricsPage struct {
	registry http.Handler

	mu     sync.Mutex // held while the page is made: the others wait for that one
	made   time.Time
	answer handler.Response
}

func newMetricsPage(r prometheus.Gatherer) *metricsPage {
	return &metricsPage{registry: promhttp.HandlerFor(r, promhttp.HandlerOpts{DisableCompression: true})}
}

// current returns the answer with the page.
func (p *metricsPage) current() handler.Response {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.made) >= metricsAge {
		w := pageWriter{header: http.Header{}, status: http.StatusOK}
		p.registry.ServeHTTP(&w, &http.Request{Method: http.MethodGet})
		p.made = time.Now()
		p.answer = handler.Response{
			Status: w.status, Type: w.header.Get("Content-Type"), CacheControl: "no-store", Body: w.body.Bytes(),
		}
	}
	return p.answer
}

// handle answers a request for the page.
func (p *metricsPage) handle(context.Context, *handler.Request) (handler.Response, error) {
	return p.current(), nil
}

// ServeHTTP answers a request for the page at another port than that of clients.
func (p *metricsPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a := p.current()
	a.WriteTo(w, handler.Shared{})
}

// pageWriter holds a page.
type pageWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *pageWriter) Header() http.Header         { return w.header }
func (w *pageWriter) WriteHeader(status int)      { w.status = status }
func (w *pageWriter) Write(b []byte) (int, error) { return w.body.Write(b) }
