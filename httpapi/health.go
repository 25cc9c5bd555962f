package httpapi

import (
	"context"
	"errors"
	"net/http"

	"laurel/score"
)

// livez tells that the process answers, whatever the state of the group.
func livez(w http.ResponseWriter, r *http.Request) error {
	return sayOK(w)
}

func (p *port) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	err := p.group.Ready(ctx)
	var problem *score.Problem
	switch {
	case err == nil:
		return sayOK(w)
	case errors.As(err, &problem) && problem.Code == score.NotReady:
		return err
	}
	return score.Problemf(score.NotReady, "linearizable reads cannot be answered now: %s", err)
}

func sayOK(w http.ResponseWriter) error {
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, typeText, []byte("ok\n"))
	return nil
}

func metricsPage(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}
