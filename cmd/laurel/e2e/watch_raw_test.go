package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	laurel "laurel/client"
	"laurel/score"
)

// rawWatcher reads server-sent events as a browser does: it remembers only the last id,
// and sends it to the next frontend. It moves on by itself, too, at any moment.
type rawWatcher struct {
	received
	w       laurel.WatchOptions
	urls    []string
	next    int
	lastID  string
	streams int
	resumed int // streams that resumed after an id
	refused int
}

const (
	bareStayLeast  = 50 * time.Millisecond
	bareStaySpread = 700 * time.Millisecond
	barePause      = 100 * time.Millisecond
)

func newRawWatcher(g *group, i int, w laurel.WatchOptions) *rawWatcher {
	o := &rawWatcher{received: newReceived(fmt.Sprintf("bare watcher %d", i)), w: w, next: i}
	for _, f := range g.frontends {
		o.urls = append(o.urls, f.url)
	}
	return o
}

func (o *rawWatcher) watch(ctx context.Context) {
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for ctx.Err() == nil {
		stay, leave := context.WithCancel(ctx)
		streamed := o.stream(stay, leave, web, o.urls[o.next%len(o.urls)])
		leave()
		o.next++
		if !streamed {
			select {
			case <-ctx.Done():
			case <-time.After(barePause):
			}
		}
	}
}

// resumedOften returns an error until streams have resumed a few times.
func (o *rawWatcher) resumedOften() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.resumed < 5 {
		return fmt.Errorf("%d times", o.resumed)
	}
	return nil
}

// stream watches at one frontend for a while, until it leaves, or until the stream ends. It
// reports whether there was a stream.
func (o *rawWatcher) stream(ctx context.Context, leave func(), web *http.Client, base string) bool {
	q := url.Values{"contest": o.w.Contests, "timeline": o.w.Timelines}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/watch?"+q.Encode(), nil)
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.fail(err)
		return false
	}
	if o.lastID != "" {
		r.Header.Set("Last-Event-ID", o.lastID)
	}
	res, err := web.Do(r)
	defer time.AfterFunc(bareStayLeast+rand.N(bareStaySpread), leave).Stop() // from when the stream begins
	if err != nil {
		return false
	}
	defer res.Body.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	if res.StatusCode != http.StatusOK {
		o.refused++
		return false
	}
	o.streams++
	if o.lastID != "" {
		o.resumed++
	}
	o.mu.Unlock()
	o.read(bufio.NewScanner(res.Body), base)
	o.mu.Lock()
	return true
}

// read reads events until there are no more. An event without an empty line behind it was
// not received.
func (o *rawWatcher) read(lines *bufio.Scanner, base string) {
	lines.Buffer(nil, 16<<20)
	event, data, id := "", "", o.lastID
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			event = value
		case "data":
			data += value
		case "id":
			id = value
		case "":
			if data != "" {
				o.take(base, event, data)
				o.lastID = id
			}
			event, data = "", ""
		}
	}
}

func (o *rawWatcher) take(base, event, data string) {
	var all struct {
		Scores   []score.Record        `json:"scores"`
		Timeline []score.TimelineEvent `json:"timeline"`
	}
	var err error
	switch event {
	case "snapshot":
		err = json.Unmarshal([]byte(data), &all)
	case "score":
		all.Scores = make([]score.Record, 1)
		err = json.Unmarshal([]byte(data), &all.Scores[0])
	case "timeline":
		all.Timeline = make([]score.TimelineEvent, 1)
		err = json.Unmarshal([]byte(data), &all.Timeline[0])
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.fail(fmt.Errorf("%s sent a %s that cannot be read: %w: %s", base, event, err, data))
	}
	if event == "snapshot" && o.lastID != "" {
		o.fail(fmt.Errorf("%s sent a snapshot after the id %s of its own store: %.100s", base, o.lastID, data))
	}
	// A score may be received again: one that is newer than the batch it is sent with is
	// sent once more, and an id in the middle of a batch cannot say which scores were
	// sent. A score never goes back. An event of a timeline comes once.
	o.add(base, true, all.Scores, nil, all.Timeline)
}
