package httpapi

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/cache"
	"laurel/cache/queries"
	"laurel/httpapi/handler"
	"laurel/httpapi/watch"
	"laurel/score"
)

// watchStore is the store as the hub reads it: the answers that this frontend gives to any client. They are never
// forwarded, because all that a watcher is told must come from one state.
type watchStore struct {
	reader *reader
	status Status
}

func (s watchStore) ID() string { return s.status.Store() }

func (s watchStore) Ordered() bool { return s.status.CacheMode() == score.Push }

func (s watchStore) Invalidations() *cache.Invalidations { return s.reader.source.Invalidations() }

func (s watchStore) ask(ctx context.Context, q question) (*cache.Entry, error) {
	a, err := s.reader.own(ctx, &q)
	if err != nil {
		return nil, err
	}
	return a.entry, nil
}

func (s watchStore) Record(ctx context.Context, key string) (*cache.Entry, error) {
	if id, ok := strings.CutPrefix(key, cache.ScoreKey("")); ok {
		return s.ask(ctx, scoreQuestion(id))
	}
	return s.ask(ctx, medalsQuestion(strings.TrimPrefix(key, cache.MedalsKey(""))))
}

func (s watchStore) Events(ctx context.Context, contestID string, after uint64, limit int) ([]watch.Event, error) {
	e, err := s.ask(ctx, timelineQuestion(contestID, after, limit))
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
		var event struct {
			Revision uint64 `json:"revision"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return nil, err
		}
		list[i] = watch.Event{Revision: event.Revision, Body: body}
	}
	return list, nil
}

func (s watchStore) Keys(ctx context.Context, competition string) ([]string, error) {
	e, err := s.ask(ctx, keysQuestion(competition))
	if err != nil {
		return nil, err
	}
	var keys []string
	err = json.Unmarshal(e.Body, &keys)
	return keys, err
}

func parseKeys(_, query string) (question, error) {
	q, err := handler.Parameters(query, "competition")
	return keysQuestion(q.Get("competition")), err
}

// keysQuestion asks for the keys of the records of a competition, or of all for "". It has no route.
func keysQuestion(competition string) question {
	key := "keys"
	if competition != "" {
		key = keyOf(key, url.Values{"competition": {competition}})
	}
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
	return question{key: key, tag: cache.ListTag(competition), ask: ask, missing: func() *score.Problem {
		return score.Problemf(score.NotFound, "there are no keys")
	}}
}

// heartbeat is the data of a heartbeat.
type heartbeat struct {
	Revision uint64          `json:"revision"`
	Epoch    uint64          `json:"epoch"`
	Mode     score.CacheMode `json:"mode"`
	Frontend string          `json:"frontend"`
	Store    string          `json:"store"`
}

func (s watchStore) Heartbeat(revision uint64) []byte {
	if s.Ordered() && !s.status.Leased() {
		return nil
	}
	// Numbers and names can always be encoded.
	body, _ := json.Marshal(heartbeat{revision, s.status.Epoch(), s.status.CacheMode(), s.status.ID(), s.status.Store()})
	return body
}
