package httpapi

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/httpapi/admission"
)

// slowMetric is a metric that lets others run while it is gathered.
type slowMetric struct {
	prometheus.Gauge
	gathered, atOnce, most atomic.Int64
}

func (m *slowMetric) Collect(c chan<- prometheus.Metric) {
	m.gathered.Add(1)
	m.most.Store(max(m.most.Load(), m.atOnce.Add(1)))
	runtime.Gosched()
	m.atOnce.Add(-1)
	m.Gauge.Collect(c)
}

func TestTheMetricsAreMadeOnceASecondForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowMetric{Gauge: prometheus.NewGauge(prometheus.GaugeOpts{Name: "laurel_slow"})}
		registry := prometheus.NewRegistry()
		registry.MustRegister(slow)
		page := newMetricsPage(registry)
		const seconds = 10
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				for end := time.Now().Add(seconds * time.Second); time.Now().Before(end); {
					w := httptest.NewRecorder()
					page.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
					if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "laurel_slow 0\n") ||
						!strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
						t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Wait()
		if n := slow.gathered.Load(); n < seconds-1 || n > seconds+1 || slow.most.Load() != 1 {
			t.Errorf("the metrics were gathered %d times in %d s, %d times at once", n, seconds, slow.most.Load())
		}
		slow.Set(7)
		time.Sleep(metricsAge)
		if a := page.current(); !strings.Contains(string(a.Body), "laurel_slow 7\n") {
			t.Errorf("a second later the page is still %s", a.Body)
		}
	})
}

func TestTheMetricsHaveARateOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, Options{})
		h, refused := a.Handler(), 0
		for range 100 {
			if from(h, "192.0.2.1:1", "GET", "/metrics", "").Code == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused != 80 {
			t.Errorf("%d of 100 requests for the metrics were refused; want all but 20", refused)
		}
		for addr, path := range map[string]string{"192.0.2.1:1": "/v1/scores", "192.0.2.2:1": "/metrics", "127.0.0.1:1": "/metrics"} {
			if w := from(h, addr, "GET", path, ""); w.Code != http.StatusOK {
				t.Errorf("%s from %s: got %d", path, addr, w.Code)
			}
		}
	})
}

func TestTheMetricsCanBeHiddenFromClients(t *testing.T) {
	_, a := newTestAPI(t, Options{HideMetrics: true})
	s := serve(t, a, a.Handler())
	got := ask(t, s, "GET", "/metrics", "")
	if p := got.problem(t); got.StatusCode != http.StatusNotFound || !strings.Contains(p.Detail, "debug") {
		t.Errorf("got %d %s", got.StatusCode, got.body)
	}
	if strings.Contains(got.body, "laurel_http") {
		t.Errorf("the metrics are shown: %.300s", got.body)
	}
	w := httptest.NewRecorder()
	a.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "laurel_http_requests_total") {
		t.Errorf("elsewhere: got %d %.300s", w.Code, w.Body)
	}
}

// A route that is used as a spare for the metrics must not be free of a rate.
func TestHiddenMetricsHaveARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a := newTestAPI(t, Options{HideMetrics: true, Options: admission.Options{
			Limits: admission.Limits{RequestsPerAddress: 5}}})
		h, refused := a.Handler(), 0
		for range 40 {
			if from(h, "192.0.2.1:1", "GET", "/metrics", "").Code == http.StatusTooManyRequests {
				refused++
			}
		}
		if refused != 30 {
			t.Errorf("%d of 40 requests were refused; want all but 10", refused)
		}
	})
}
