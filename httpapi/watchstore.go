package httpapi

import (
	"context"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/cache"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
	"laurel/score"
)

// watchStore is the store as the hub reads it: the answers that this frontend gives to any
// client. They are never forwarded, because all that a watcher is told must come from one
// state.
type watchStore struct{ api *API }

func (s watchStore) ID() string { return s.api.group.Status.Store() }

func (s watchStore) Ordered() bool { return s.api.group.Status.CacheMode() == score.Push }

func (s watchStore) Invalidations() *cache.Invalidations { return s.api.group.Reader.Invalidations() }

func (s watchStore) ask(ctx context.Context, q question.Question) (*cache.Entry, error) {
	a, err := s.api.own(ctx, &q)
	if err != nil {
		return nil, err
	}
	return a.entry, nil
}

func (s watchStore) Record(ctx context.Context, key string) (*cache.Entry, error) {
	if id, ok := strings.CutPrefix(key, cache.ScoreKey("")); ok {
		return s.ask(ctx, question.Score(id))
	}
	return s.ask(ctx, question.Medals(strings.TrimPrefix(key, cache.MedalsKey(""))))
}

func (s watchStore) Events(ctx context.Context, contestID string, after uint64, limit int) ([]watch.Event, error) {
	e, err := s.ask(ctx, question.Timeline(contestID, after, limit))
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
	e, err := s.ask(ctx, question.Keys(competition))
	if err != nil {
		return nil, err
	}
	var keys []string
	err = json.Unmarshal(e.Body, &keys)
	return keys, err
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
	if s.Ordered() && !s.api.group.Status.Leased() {
		return nil
	}
	// Numbers and names can always be encoded.
	body, _ := json.Marshal(heartbeat{
		Revision: revision,
		Epoch:    s.api.group.Status.Epoch(),
		Mode:     s.api.group.Status.CacheMode(),
		Frontend: s.api.group.Status.ID(),
		Store:    s.api.group.Status.Store(),
	})
	return body
}
