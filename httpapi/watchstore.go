package httpapi

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/cache"
	"laurel/httpapi/handler"
	"laurel/httpapi/question"
	"laurel/httpapi/watch"
	"laurel/httpapi/web"
	"laurel/score"
	"laurel/score/ranking"
)

// watchStore is the store as the hub reads it: the answers that this frontend gives to
// any client. They are never forwarded, because all that a watcher is told must come from
// one state.
type watchStore struct {
	api      *API
	sections *sectionNumbers
}

// sectionNumbers are the numbers of contests that heartbeats have. The store is asked for
// them every sectionsInterval, however many heartbeats there are.
type sectionNumbers struct {
	mu    sync.Mutex
	asked time.Time
	body  jsontext.Value
}

const (
	sectionsInterval = 2 * time.Second
	// sectionsTimeout is how long a heartbeat waits for the numbers. The next one has them.
	sectionsTimeout = 100 * time.Millisecond
)

// numbers returns the numbers of contests as JSON, nil if they are not known now.
func (s watchStore) numbers() jsontext.Value {
	n := s.sections
	n.mu.Lock()
	defer n.mu.Unlock()
	if time.Since(n.asked) < sectionsInterval {
		return n.body
	}
	n.asked, n.body = time.Now(), nil
	ctx, cancel := context.WithTimeout(context.Background(), sectionsTimeout)
	defer cancel()
	if e, err := s.ask(ctx, question.Sections()); err == nil {
		n.body = bytes.TrimSpace(e.Body)
	}
	return n.body
}

func (s watchStore) Incarnation() (name string, former []string) {
	return s.api.group.Status.Incarnation(), s.api.group.Status.Former()
}

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

// watchPage is how many events of a timeline are read at once. The store returns fewer if
// they are long.
const watchPage = 500

func (s watchStore) Events(ctx context.Context, contestID string, after uint64) ([]watch.Event, bool, error) {
	e, err := s.ask(ctx, question.Timeline(contestID, handler.CursorAt(after), watchPage))
	if err != nil || e.Body == nil {
		return nil, false, err
	}
	var page struct {
		Events []jsontext.Value `json:"events"`
		Next   string           `json:"next"`
	}
	if err := json.Unmarshal(e.Body, &page); err != nil {
		return nil, false, err
	}
	list := make([]watch.Event, len(page.Events))
	for i, body := range page.Events {
		var event struct {
			Revision uint64 `json:"revision"`
		}
		if err := json.Unmarshal(body, &event); err != nil {
			return nil, false, err
		}
		list[i] = watch.Event{Revision: event.Revision, Body: body}
	}
	return list, page.Next != "", nil
}

// Keys decodes an answer once for all who ask.
func (s watchStore) Keys(ctx context.Context, competition string) ([]string, error) {
	e, err := s.ask(ctx, question.Keys(competition))
	if err != nil {
		return nil, err
	}
	keys, ok := e.Memo.Load().([]string)
	if !ok {
		if err := json.Unmarshal(e.Body, &keys); err != nil {
			return nil, err
		}
		e.Memo.Store(keys)
	}
	return keys, nil
}

func (s watchStore) Now(ctx context.Context) (*watch.Now, error) {
	e, err := s.ask(ctx, question.Now())
	if err != nil {
		return nil, err
	}
	return decodeNow(e).stream()
}

// nowMemo is what is derived from an answer to question.Now, once for all who ask.
type nowMemo struct {
	page   func() (*web.Data, error)
	stream func() (*watch.Now, error)
}

func decodeNow(e *cache.Entry) *nowMemo {
	if m, ok := e.Memo.Load().(*nowMemo); ok {
		return m
	}
	m := &nowMemo{
		page: sync.OnceValues(func() (*web.Data, error) {
			data := new(web.Data)
			return data, json.Unmarshal(e.Body, data)
		}),
		stream: sync.OnceValues(func() (*watch.Now, error) { return streamNow(e) }),
	}
	e.Memo.Store(m)
	return m
}

// streamNow splits an answer to question.Now into the records of a stream.
func streamNow(e *cache.Entry) (*watch.Now, error) {
	var answer struct {
		Sections jsontext.Value   `json:"sections"`
		Scores   []jsontext.Value `json:"scores"`
		Medals   []jsontext.Value `json:"medals"`
	}
	if err := json.Unmarshal(e.Body, &answer); err != nil {
		return nil, err
	}
	now := &watch.Now{Sections: answer.Sections, Records: map[string]*cache.Entry{}}
	for _, list := range [][]jsontext.Value{answer.Medals, answer.Scores} {
		for _, body := range list {
			var record struct {
				ContestID   string `json:"contest_id"`
				Competition string `json:"competition"`
				Revision    uint64 `json:"revision"`
			}
			if err := json.Unmarshal(body, &record); err != nil {
				return nil, err
			}
			key := cache.MedalsKey(record.Competition)
			if record.ContestID != "" {
				key = cache.ScoreKey(record.ContestID)
			}
			now.Keys = append(now.Keys, key)
			now.Records[key] = &cache.Entry{Revision: record.Revision, Body: body}
		}
	}
	return now, nil
}

func (s watchStore) ChangedSince(ctx context.Context, revision, upTo uint64) ([]string, bool, error) {
	return s.api.group.Reader.ChangedSince(ctx, revision, upTo)
}

// heartbeat is the data of a heartbeat.
type heartbeat struct {
	Revision uint64          `json:"revision"`
	Epoch    uint64          `json:"epoch"`
	Mode     score.CacheMode `json:"mode"`
	Frontend string          `json:"frontend"`
	// Incarnation is that of the revision.
	Incarnation string `json:"incarnation"`
	// Sections are the numbers of contests, if the frontend knows them now.
	Sections jsontext.Value `json:"sections,omitzero"`
}

func (s watchStore) Heartbeat(revision uint64) []byte {
	if s.Ordered() && !s.api.group.Status.Leased() {
		return nil
	}
	// Numbers and names can always be encoded.
	body, _ := json.Marshal(heartbeat{
		Revision:    revision,
		Epoch:       s.api.group.Status.Epoch(),
		Mode:        s.api.group.Status.CacheMode(),
		Frontend:    s.api.group.Status.ID(),
		Incarnation: s.api.group.Status.Incarnation(),
		Sections:    s.numbers(),
	})
	return body
}

// maxTotalReads bounds how often the total is read again because the leaderboard changed
// between the search for a competitor and the read of the total.
const maxTotalReads = 3

// Board returns the rows of a window and the revision that last changed them. If the
// window's competitor has no mark, the total is that of the same revision; in pull mode
// it may be of a later one. Then the earlier revision is returned: with the later one,
// the watcher would not be sent the competitor's mark that came with it.
func (s watchStore) Board(ctx context.Context, w *watch.Window) (ranking.Leaderboard, uint64, error) {
	around := question.BoardQuery{Contest: w.ContestID, Query: ranking.Query{
		Split: w.Split, Category: w.Category, Around: w.Around, Limit: w.Limit,
	}}
	all := around
	all.Around, all.Limit = "", 1
	for try := 1; ; try++ {
		page, revision, err := s.page(ctx, &around)
		if score.CodeOf(err) != score.NotFound {
			return page, revision, err
		}
		page, at, err := s.page(ctx, &all)
		switch {
		case score.CodeOf(err) == score.NotFound:
			return ranking.Leaderboard{}, at, nil
		case err != nil:
			return ranking.Leaderboard{}, 0, err
		case at == revision || try == maxTotalReads:
			page.Rows = nil
			return page, min(revision, at), nil
		}
	}
}

// page answers a question about a leaderboard by the rules of the mode. The revision is
// valid with the problem that there is no such page, too.
func (s watchStore) page(ctx context.Context, b *question.BoardQuery) (ranking.Leaderboard, uint64, error) {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	page, revision, _, err := s.api.group.Reader.Board(limited, b.Contest, &b.Query)
	switch {
	case err != nil && limited.Err() != nil && ctx.Err() == nil:
		return page, 0, cache.ErrNotLeased
	case !errors.Is(err, cache.ErrNotLeased) || s.api.group.Status.CacheMode() != score.Pull:
		return page, revision, err
	}
	e, _, _, err := s.api.group.Reader.Pull(ctx, b.Key())
	switch {
	case err != nil:
		return page, 0, err
	case e.Body == nil:
		return page, e.Revision, b.Missing()
	}
	err = json.Unmarshal(e.Body, &page)
	return page, e.Revision, err
}
