package frontend

import (
	"context"
	"time"

	"laurel/cache"
	"laurel/cluster"
	"laurel/fsm"
	"laurel/httpapi"
)

// group is a member as package httpapi knows it: its views of the store are httpapi.Records.
type group struct{ *cluster.Member }

func (g group) Answer(ctx context.Context, key, tag string, ask httpapi.Ask) (*cache.Entry, string, error) {
	return g.Member.Answer(ctx, key, tag, asCluster(ask))
}

func (g group) Stale(f func(httpapi.Records) error) (age time.Duration, known bool, err error) {
	return g.Member.Stale(func(v *fsm.View) error { return f(v) })
}

func asCluster(ask httpapi.Ask) cluster.Ask {
	return func(v *fsm.View) ([]byte, uint64, error) { return ask(v) }
}

// questions returns how the members read the keys for which they poll each other.
func questions(api *httpapi.API) cluster.Questions {
	return func(key string) (cluster.Question, error) {
		q, err := api.Question(key)
		switch {
		case err != nil:
			return cluster.Question{}, err
		case q.Board != nil:
			return cluster.Question{Board: (*cluster.BoardQuestion)(q.Board)}, nil
		}
		return cluster.Question{Ask: asCluster(q.Ask)}, nil
	}
}
