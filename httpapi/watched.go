package httpapi

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/watch"
	"laurel/score"
)

// watched is the store as those who watch see it: the answers that this frontend gives to whoever asks.
type watched struct{ *port }

func (s watched) ID() string { return s.group.Store() }

func (s watched) Ordered() bool { return s.group.CacheMode() == score.Push }

func (s watched) Invalidations() *cache.Invalidations { return s.group.Invalidations() }

// answer asks a question of this frontend alone: it is not forwarded, for who watches must have one and the same state under all that it is told.
func (s watched) answer(ctx context.Context, path string, parameters url.Values) (*cache.Entry, error) {
	q, err := questionOf(path, parameters.Encode())
	if err != nil {
		return nil, err
	}
	a, err := s.here(ctx, &q)
	if err != nil {
		return nil, err
	}
	return a.entry, nil
}

func (s watched) Record(ctx context.Context, key string) (*cache.Entry, error) {
	return s.answer(ctx, key, nil)
}

func (s watched) Events(ctx context.Context, contestID string, after uint64, limit int) ([]watch.Event, error) {
	e, err := s.answer(ctx, cache.TimelineTag(contestID), url.Values{"after": {strconv.FormatUint(after, 10)}, "limit": {strconv.Itoa(limit)}})
	if err != nil || e.Body == nil {
		return nil, err
	}
	var page struct {
		Events []jsontext.Value `json:"events"`
	}
	if err := json.Unmarshal(e.Body, &page); err != nil {
		return nil, err
	}
	list := make([]watch.Event, len(page.Events))
	for i, body := range page.Events {
		var at struct {
			Revision uint64 `json:"revision"`
		}
		if err := json.Unmarshal(body, &at); err != nil {
			return nil, err
		}
		list[i] = watch.Event{Revision: at.Revision, Body: body}
	}
	return list, nil
}

func (s watched) Keys(ctx context.Context, competition string) ([]string, error) {
	var parameters url.Values
	if competition != "" {
		parameters = url.Values{"competition": {competition}}
	}
	e, err := s.answer(ctx, "keys", parameters)
	if err != nil {
		return nil, err
	}
	var keys []string
	return keys, json.Unmarshal(e.Body, &keys)
}

// keys asks for the keys of all records of a competition, or of all. No path of the interface leads here.
func keys(query string) (question, error) {
	q, _, err := asked(query, "competition")
	if err != nil {
		return question{}, err
	}
	competition := q.Get("competition")
	ask := func(v queries.View) ([]byte, uint64, error) {
		list := []string{}
		if competition != "" {
			list = append(list, cache.MedalsKey(competition))
		}
		for page, err := range contestPages(v, score.Filter{Competition: competition}) {
			if err != nil {
				return nil, 0, err
			}
			for i := range page {
				list = append(list, cache.ScoreKey(page[i].ContestID))
				if competition == "" {
					list = append(list, cache.MedalsKey(page[i].Competition))
				}
			}
		}
		slices.Sort(list)
		body, err := queries.Encode(slices.Compact(list))
		return body, v.Revision(), err
	}
	return question{key: keyOf("keys", q), tag: cache.ListTag(competition), ask: ask, missing: func() *score.Problem {
		return score.Problemf(score.NotFound, "there are no keys")
	}}, nil
}

// beatData is the data of a heartbeat.
type beatData struct {
	Revision uint64          `json:"revision"`
	Epoch    uint64          `json:"epoch"`
	Mode     score.CacheMode `json:"mode"`
	Frontend string          `json:"frontend"`
	Store    string          `json:"store"`
}

func (s watched) Heartbeat(revision uint64) []byte {
	if s.Ordered() && !s.group.Leased() {
		return nil
	}
	body, _ := json.Marshal(beatData{revision, s.group.Epoch(), s.group.CacheMode(), s.group.ID(), s.group.Store()}) // of numbers and names: it cannot fail
	return body
}

// watchProblem says what was wrong with a wish to watch.
func watchProblem(err error) error {
	var problem *score.Problem
	switch {
	case errors.As(err, &problem):
		return err
	case errors.Is(err, watch.ErrFull):
		return score.Problemf(score.NotReady, "this frontend has %d watchers, and takes no more; watch another one, GET /v1/frontends lists them", watch.MaxWatchers)
	case errors.Is(err, watch.ErrTooManyRows):
		return score.Problemf(score.NotReady, "that is %s at this frontend; watch another one, with a lower limit, or what others watch, too", err)
	case errors.Is(err, watch.ErrTooManyRecords):
		return score.Problemf(score.TooLarge, "that is %s; choose with contest=, competition=, medals= or timeline=", err)
	case errors.Is(err, cache.ErrNotLeased):
		return score.Problemf(score.NotReady, "this frontend is not up to date with the master now; watch another one, or this one again in a second")
	}
	return err
}
