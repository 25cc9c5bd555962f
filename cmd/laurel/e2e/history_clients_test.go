package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/score"
	"laurel/score/mark"
	"laurel/score/medal"
)

// The objects that the clients post about and read: few, so that each is used by many
// clients.
const (
	meets          = 2 // competitions
	contestsOfMeet = 6
)

func meet(i int) string              { return "M" + strconv.Itoa(i) }
func contestOf(i, j int) string      { return meet(i) + "/CUR-" + strconv.Itoa(j) }
func ceremonies(i int) string        { return meet(i) + "/CEREMONIES" } // a contest that has medals and no score
func medalsOfGaul(i int) string      { return "/v1/medals/" + meet(i) + "/GAU" }
func anyContest(r *rand.Rand) string { return contestOf(r.IntN(meets), r.IntN(contestsOfMeet)) }

// The number of clients of each frontend and their intervals. Together they send about
// 1,200 requests a second, which a history of a minute can hold.
const (
	readersEach = 6
	writersEach = 3
	readPause   = 16 * time.Millisecond
	writePause  = 50 * time.Millisecond
	// impatience is how long a client waits for an answer: longer than a frontend
	// searches for a master and than its short pauses, so that requests wait in its
	// sockets while the others continue; shorter than the long pauses.
	impatience = 2 * time.Second
)

// client is a user of one frontend with a connection of its own.
type client struct {
	name  string
	url   string
	token string   // "" for none
	all   []string // the URLs of all frontends, for repeated posts
	h     *history
	web   *http.Client
	rand  *rand.Rand

	posts int      // of events made
	open  []string // the events that it gave up on
	feed  int      // number of the source: a client begins another one when it gives up on an event
	seq   uint64
	seen  map[string]uint64 // the last revision of each timeline
}

// clientPool is all clients of a group.
type clientPool struct {
	all     []*client
	stop    context.CancelFunc
	asking  sync.WaitGroup
	stopped context.Context
}

// newClientPool starts readers and writers at each URL, which run until stopAll.
func newClientPool(urls []string, h *history, seed uint64) *clientPool {
	c := &clientPool{}
	c.stopped, c.stop = context.WithCancel(context.Background())
	for i, url := range urls {
		for k := range readersEach + writersEach {
			one := newClient(fmt.Sprintf("%s%d-%d", map[bool]string{true: "r", false: "w"}[k < readersEach], i+1, k),
				url, urls, h, rand.New(rand.NewPCG(seed, uint64(i*100+k))))
			c.all = append(c.all, one)
			if k < readersEach {
				c.asking.Go(func() { one.every(c.stopped, readPause, one.read) })
			} else {
				c.asking.Go(func() { one.every(c.stopped, writePause, one.post) })
			}
		}
	}
	return c
}

// stopAll ends the clients and waits for the last answers.
func (c *clientPool) stopAll() {
	c.stop()
	c.asking.Wait()
}

// settle repeats the events that the clients gave up on until each is answered. One may still be
// on its way in a frontend that was held up. Afterwards that one is a duplicate, and changes nothing
// that is compared at the end. What is lost could be applied again here, so it is read before.
func (c *clientPool) settle(t testing.TB) {
	t.Helper()
	for _, one := range c.all {
		for _, body := range one.open {
			eventually(t, "an event that was given up is answered", func() error {
				if one.postOnce(one.all[one.rand.IntN(len(one.all))], body) == 0 {
					return errors.New(body)
				}
				return nil
			})
		}
	}
}

func newClient(name, url string, all []string, h *history, r *rand.Rand) *client {
	return &client{name: name, url: url, all: all, h: h, rand: r, seen: map[string]uint64{},
		web: &http.Client{Timeout: impatience, Transport: &http.Transport{MaxIdleConnsPerHost: 1}}}
}

// every calls f about once per pause until ctx ends. f reports whether it was answered;
// if not, the next call waits.
func (c *client) every(ctx context.Context, pause time.Duration, f func() bool) {
	defer c.web.CloseIdleConnections()
	for {
		d := pause/2 + time.Duration(c.rand.Int64N(int64(pause)))
		if !f() {
			d += 2 * writePause
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(d):
		}
	}
}

// do sends a request and reads the whole answer.
func (c *client) do(method, url, body string) (answer, error) {
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, url, b)
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.web.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(read)}, err
}

// failureKind distinguishes a frontend that is down from one that does not answer.
func failureKind(err error) string {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "not running"
	}
	return "no answer"
}

// read reads one of the objects in one of the ways.
func (c *client) read() bool {
	switch n := c.rand.IntN(100); {
	case n < 70:
		return c.readContest(anyContest(c.rand), "")
	case n < 75:
		return c.readContest(anyContest(c.rand), "?max_stale=30s")
	case n < 83:
		return c.readList(c.rand.IntN(meets), allFilters[c.rand.IntN(len(allFilters))])
	case n < 91:
		return c.readTimeline(anyContest(c.rand))
	}
	return c.readMedals(c.rand.IntN(meets))
}

// readOnce reads once and calls saw with a good answer, the time of the call, and the age
// of the answer.
func (c *client) readOnce(path string, saw func(a answer, see func(thing string, s observation)) error) bool {
	call := c.h.now()
	a, err := c.do("GET", c.url+path, "")
	switch {
	case err != nil:
		c.h.count("read: " + failureKind(err))
		return false
	case a.status == http.StatusServiceUnavailable || a.status == http.StatusBadGateway ||
		a.status == http.StatusGatewayTimeout:
		c.h.count("read: refused")
		return false
	case a.status != http.StatusOK:
		c.h.addError(fmt.Errorf("GET %s: %d %s", path, a.status, a.body))
		return false
	}
	how := a.header.Get("Laurel-Mode") + "/" + a.header.Get("Laurel-Cache")
	age := time.Duration(0)
	if output := a.header.Get("Age"); output != "" {
		seconds, err := strconv.Atoi(output)
		if err != nil {
			c.h.addError(fmt.Errorf("GET %s: Age %q", path, output))
			return false
		}
		// The header has whole seconds, rounded down.
		age = time.Duration(seconds+1) * time.Second
		how += "/aged"
	}
	c.h.count(how)
	by := fmt.Sprintf("%s at %s (%s, %s)", c.name, a.header.Get("Laurel-Frontend"), path, how)
	if err := saw(a, func(thing string, s observation) {
		c.h.observed(call, age, request{thing: thing, how: by},
			s)
	}); err != nil {
		c.h.addError(fmt.Errorf("GET %s: %w: %s", path, err, a.body))
	}
	return true
}

func (c *client) readContest(id, query string) bool {
	return c.readOnce("/v1/scores/"+id+query, func(a answer, see func(string, observation)) error {
		var r score.Record
		if err := json.Unmarshal([]byte(a.body), &r); err != nil {
			return err
		}
		s, err := scoreOf(r)
		if output := a.header.Get("Laurel-Revision"); err == nil && output != strconv.FormatUint(r.Revision, 10) {
			err = fmt.Errorf("Laurel-Revision %s", output)
		}
		see(id, s)
		return err
	})
}

// scoreOf returns Gaul's score in a contest.
func scoreOf(r score.Record) (observation, error) {
	for _, p := range r.Competitors {
		if p.Code == "GAU" && p.Result != nil {
			return observation{r.Revision, int64(*p.Result / mark.Points(1))}, nil
		}
	}
	return observation{}, fmt.Errorf("no score of Gaul")
}

// allFilters are filters that fit all contests.
var allFilters = []string{"", "&section=live", "&find=cur"}

// readList reads the contests of a meet, with one of allFilters.
func (c *client) readList(i int, filter string) bool {
	return c.readOnce("/v1/scores?competition="+meet(i)+filter, func(a answer, see func(string, observation)) error {
		var list struct {
			Scores []score.Record `json:"scores"`
		}
		if err := json.Unmarshal([]byte(a.body), &list); err != nil {
			return err
		}
		if len(list.Scores) != contestsOfMeet {
			return fmt.Errorf("%d contests; want %d", len(list.Scores), contestsOfMeet)
		}
		together := map[string]uint64{}
		for _, r := range list.Scores {
			s, err := scoreOf(r)
			if err != nil {
				return err
			}
			see(r.ContestID, s)
			together[r.ContestID] = s.revision
		}
		c.h.mu.Lock()
		defer c.h.mu.Unlock()
		c.h.lists = append(c.h.lists, together)
		return nil
	})
}

// readTimeline reads what is new since the last time, and the last event of that time:
// without it the answer is stale.
func (c *client) readTimeline(id string) bool {
	after := max(c.seen[id], 1) - 1
	return c.readOnce(fmt.Sprintf("/v1/timeline/%s?after=%d&limit=1000", id, after),
		func(a answer, see func(string, observation)) error {
			var page struct {
				Events []score.TimelineEvent `json:"events"`
				Next   string                `json:"next"`
			}
			if err := json.Unmarshal([]byte(a.body), &page); err != nil {
				return err
			}
			s := observation{value: unseen}
			for _, e := range page.Events {
				if e.Revision <= s.revision {
					return fmt.Errorf("revision %d after %d", e.Revision, s.revision)
				}
				s.revision = e.Revision
			}
			if page.Next != "" {
				c.seen[id] = s.revision
				return nil
			}
			// Any number of events may precede the last one that was seen.
			if s.revision > 0 || a.header.Get("Age") == "" {
				see(id, s)
			}
			c.seen[id] = max(c.seen[id], s.revision)
			return nil
		})
}

func (c *client) readMedals(i int) bool {
	path := medalsOfGaul(i)
	return c.readOnce(path, func(a answer, see func(string, observation)) error {
		var row medal.Row
		if err := json.Unmarshal([]byte(a.body), &row); err != nil {
			return err
		}
		revision, err := strconv.ParseUint(a.header.Get("Laurel-Revision"), 10, 64)
		see(path, observation{revision, int64(row.Gold)})
		return err
	})
}
