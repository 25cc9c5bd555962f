package httpapi

import (
	"context"
	"net/http"
	"time"

	"laurel/httpapi/admission"
	"laurel/httpapi/handler"
	"laurel/score"
)

// forwarder forwards requests to the master.
type forwarder struct {
	to      Forwarder
	id      string // of this frontend
	enabled bool   // false at the peer port: a request is forwarded once
}

// forward has the master answer r. With an error nothing has been written.
func (f *forwarder) forward(r *handler.Request) (handler.Response, error) {
	if !f.enabled {
		return handler.Response{}, f.notMaster()
	}
	admission.SetForwardedCaller(r)
	return handler.Written, f.to.Forward(r.Transport())
}

// forwardWithin is forward with a time limit for the beginning of the answer.
func (f *forwarder) forwardWithin(limit time.Duration, r *handler.Request) (handler.Response, error) {
	if !f.enabled {
		return handler.Response{}, f.notMaster()
	}
	admission.SetForwardedCaller(r)
	w, hr := r.Transport()
	ctx, cancel := context.WithCancel(hr.Context())
	defer cancel()
	timer := time.AfterFunc(limit, cancel)
	defer timer.Stop()
	return handler.Written, f.to.Forward(&startDeadlineWriter{w, timer}, hr.WithContext(ctx))
}

func (f *forwarder) notMaster() error {
	return score.Problemf(score.NoMaster,
		"this request was forwarded to %s, which cannot answer as the master now; retry it", f.id)
}

// startDeadlineWriter stops a timer when the answer begins.
type startDeadlineWriter struct {
	http.ResponseWriter
	timer *time.Timer
}

func (w *startDeadlineWriter) WriteHeader(status int) {
	w.timer.Stop()
	w.ResponseWriter.WriteHeader(status)
}

func (w *startDeadlineWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
