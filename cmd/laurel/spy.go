//go:build spy

package main

import (
	"context"
	"net/http"

	"github.com/go-json-experiment/json"

	"laurel/cluster"
	"laurel/cmd/laurel/demo"
	"laurel/internal/frontend"
	"laurel/witness"
)

// startFrontend starts a frontend with a spy in it, whom the debug server lets everybody on
// this machine give orders.
func startFrontend(o frontend.Options, debug *http.ServeMux) (*frontend.Frontend, error) {
	o.Member.Logger.Warn("this program has a spy in it: it is for tests and for the demo")
	started, err := frontend.Start(o)
	if err != nil {
		return nil, err
	}
	spy := cluster.Enter(started.Member())
	debug.Handle("/metrics", started.Metrics())
	debug.HandleFunc("POST /spy", func(w http.ResponseWriter, r *http.Request) {
		var l cluster.Lie
		err := json.UnmarshalRead(r.Body, &l)
		if err == nil {
			err = spy.Tell(l)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.Member.Logger.Warn("the spy lies", "lie", l.Lie)
	})
	debug.HandleFunc("GET /spy", func(w http.ResponseWriter, _ *http.Request) { // whom this frontend names
		var verdicts []witness.Verdict
		if c := started.Member().Certifier(); c != nil {
			verdicts = c.Verdicts()
		}
		_ = json.MarshalWrite(w, verdicts)
	})
	return started, nil
}

func runSpyDemo(ctx context.Context, o demo.Options) error { return demo.RunSpy(ctx, o) }
