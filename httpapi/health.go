package httpapi

import (
	"context"
	"errors"
	"time"

	"laurel/httpapi/handler"
	"laurel/score"
)

const readyTimeout = 2 * time.Second

// livez reports that the process answers, whatever the state of the group.
func livez(context.Context, *handler.Request) (handler.Response, error) { return ok() }

// readyz reports whether linearizable reads can be answered.
func (s *server) readyz(ctx context.Context, _ *handler.Request) (handler.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := s.status.Ready(ctx)
	var problem *score.Problem
	switch {
	case err == nil:
		return ok()
	case errors.As(err, &problem) && problem.Code == score.NotReady:
		return handler.Response{}, err
	}
	return handler.Response{}, score.Problemf(score.NotReady, "linearizable reads cannot be answered now: %s", err)
}

func ok() (handler.Response, error) {
	return handler.Response{CacheControl: "no-store", Type: handler.TypeText, Body: []byte("ok\n")}, nil
}
