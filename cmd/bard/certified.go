package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"laurel/client"
	"laurel/client/verify"
	"laurel/internal/cli"
	"laurel/internal/textfmt"
	"laurel/score"
	"laurel/witness"
)

const (
	// postAgainAfter is how long an acknowledged event waits for its certificate until it is
	// posted again elsewhere.
	postAgainAfter = 5 * time.Second
	// lookEvery is how often it is looked what is certified.
	lookEvery = 250 * time.Millisecond
	// maxUncertified is how many events may be uncertified until no more are sent.
	maxUncertified = 1 << 16
	// maxAgain and maxAgainBytes bound what is posted again at once.
	maxAgain      = 500
	maxAgainBytes = 1 << 20
)

// keeper keeps events until they are certified. It is safe for concurrent use.
type keeper struct {
	client   *client.Client
	reader   *verify.Certified
	patience time.Duration
	println  func(format string, args ...any)

	mu      sync.Mutex
	sources map[int]string           // of the lines that are not acknowledged
	kept    map[string][]uncertified // by source, in the order of the seqs
	count   int
	fatal   error     // a fork, or an expired policy
	moved   time.Time // when something was certified last, or had not to be
	lastErr error     // why nothing can be verified; nil if something could
}

// uncertified is an event that a frontend has acknowledged.
type uncertified struct {
	seq  uint64
	line []byte
	by   string // the URL
	at   time.Time
}

func newKeeper(c *client.Client, p *cli.Policy, patience time.Duration) (*keeper, error) {
	r, err := p.Certified(c, "--certified", witness.MaxAge)
	if err != nil {
		return nil, err
	}
	return &keeper{
		client: c, reader: r, patience: patience, sources: map[int]string{}, kept: map[string][]uncertified{},
		moved: time.Now(),
	}, nil
}

// begin looks again and again what is certified, until stop is called.
func (k *keeper) begin(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			k.look(ctx)
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// expect notes the source of a line that is sent next. It waits while too much is not
// certified.
func (k *keeper) expect(ctx context.Context, number int, source string) error {
	if err := k.wait(ctx, maxUncertified); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sources[number] = source
	return nil
}

// keep keeps an event that was acknowledged.
func (k *keeper) keep(a client.Answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	source := k.sources[a.Line.Number]
	delete(k.sources, a.Line.Number)
	if k.count == 0 {
		k.moved = time.Now()
	}
	k.count++
	k.kept[source] = append(k.kept[source], uncertified{
		cmp.Or(a.Result.Seq, a.Line.Seq), bytes.Clone(a.Line.JSON), a.URL, time.Now(),
	})
}

// wait waits until at most a number of events are not certified. The error says who has
// acknowledged them, if none was certified for as long as the patience.
func (k *keeper) wait(ctx context.Context, most int) error {
	for {
		k.mu.Lock()
		count, fatal, quiet, last := k.count, k.fatal, time.Since(k.moved), k.lastErr
		k.mu.Unlock()
		switch {
		case fatal != nil:
			return fatal
		case count <= most:
			return nil
		case quiet > k.patience:
			err := fmt.Errorf("%d events are acknowledged and not certified: %s", count, k.acknowledged())
			if last != nil {
				err = fmt.Errorf("%w; %w", err, last)
			}
			return &cli.ExitError{Code: cli.ExitFailed, Err: err}
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acknowledged says who has acknowledged what is not certified.
func (k *keeper) acknowledged() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for source, list := range k.kept {
		all = append(all, fmt.Sprintf("%s from seq %d on by %s", source, list[0].seq, list[0].by))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// look drops what is certified, and posts again what is not for too long.
func (k *keeper) look(ctx context.Context) {
	k.mu.Lock()
	var sources []string
	for source := range k.kept {
		sources = append(sources, source)
	}
	k.mu.Unlock()
	slices.Sort(sources)
	for _, source := range sources {
		last, err := k.certified(ctx, source)
		if ctx.Err() != nil {
			return
		}
		k.mu.Lock()
		_, again := errors.AsType[*verify.UnverifiedError](err)
		if k.lastErr = err; err != nil && !again {
			k.fatal = err
		}
		if err == nil {
			k.drop(source, last)
		}
		late := k.late(source)
		k.mu.Unlock()
		if len(late) > 0 {
			k.postAgain(ctx, source, late)
		}
	}
}

// certified returns the certified last seq of a source.
func (k *keeper) certified(ctx context.Context, source string) (uint64, error) {
	a, err := k.reader.Get(ctx, "/v1/bards/"+source, nil)
	if a != nil && a.Body == nil {
		return 0, nil // it is certified that there are none
	}
	if err != nil {
		return 0, err
	}
	var bard score.Bard
	err = json.Unmarshal(a.Body, &bard)
	return bard.LastSeq, err
}

// drop forgets the events of a source up to a seq. k.mu is held.
func (k *keeper) drop(source string, last uint64) {
	list := k.kept[source]
	n := 0
	for n < len(list) && list[n].seq <= last {
		n++
	}
	if n == 0 {
		return
	}
	k.moved = time.Now()
	if k.count -= n; n == len(list) {
		delete(k.kept, source)
		return
	}
	k.kept[source] = list[n:]
}

// late returns the first events of a source if they have waited for too long, and has them
// wait anew. k.mu is held.
func (k *keeper) late(source string) []uncertified {
	list := k.kept[source]
	now := time.Now()
	if len(list) == 0 || now.Sub(list[0].at) < postAgainAfter {
		return nil
	}
	n, size := 0, 0
	for n < min(len(list), maxAgain) && (n == 0 || size+len(list[n].line) <= maxAgainBytes) {
		size += len(list[n].line)
		list[n].at = now
		n++
	}
	return slices.Clone(list[:n])
}

// postAgain posts events at other frontends than that which acknowledged the first.
func (k *keeper) postAgain(ctx context.Context, source string, late []uncertified) {
	var body bytes.Buffer
	for i, e := range late {
		body.WriteByte("[,"[min(i, 1)])
		body.Write(bytes.TrimSpace(e.line))
	}
	body.WriteByte(']')
	said := fmt.Sprintf("%s acknowledged %d events of %s from seq %d on, which are not certified after %s",
		late[0].by, len(late), source, late[0].seq, postAgainAfter)
	for _, url := range k.client.URLs() {
		if url == late[0].by {
			continue
		}
		status, answer, err := k.client.PostAt(ctx, url, "/v1/events", body.Bytes())
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %.200s", status, answer)
		}
		if err == nil {
			k.println("%s; posted again at %s", said, url)
			return
		}
		if ctx.Err() != nil {
			return
		}
		k.println("%s: %s", url, textfmt.OneLine(err.Error()))
	}
	k.println("%s; no other frontend took them", said)
}
