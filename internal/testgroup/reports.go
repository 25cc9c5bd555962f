package testgroup

import (
	"net/http"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// report is what GET /v1/frontends says of a frontend instead of the truth.
type report struct {
	state           string
	watchers, reads int
}

// Report sets what GET /v1/frontends says of the frontend at all frontends: one of
// score's states, its watchers and its reads a second.
func (f *Frontend) Report(state string, watchers, reads int) {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.group.reports[f.ID] = report{state, watchers, reads}
}

func (g *Group) hasReports() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.reports) > 0
}

// serveFrontends passes the list of frontends on, with the reports.
func (p *proxy) serveFrontends(w http.ResponseWriter, r *http.Request) {
	out, err := p.request(r, nil)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header.Del("If-None-Match")
	resp, err := p.transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	var list score.Frontends
	if err := json.UnmarshalRead(resp.Body, &list); err != nil {
		panic(http.ErrAbortHandler)
	}
	g := p.frontend.group
	g.mu.Lock()
	for i := range list.Frontends {
		f := &list.Frontends[i]
		if report, ok := g.reports[f.ID]; ok {
			f.State, f.Watchers, f.Reads = report.state, report.watchers, report.reads
		}
	}
	g.mu.Unlock()
	resp.Header.Del("Content-Length")
	copyHead(w, resp)
	_ = json.MarshalWrite(w, list)
}
