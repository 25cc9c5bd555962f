// Package forming decides which of several frontends that start at once, without data and
// with the same flags, makes the group that the others join. It is the one question before
// there is a group, so it needs neither Raft nor certificates.
//
// Each frontend asks all the others what they know. It leaves the founding to one
// frontend, the first by name that it hears of, and stores that on its disk. It takes that
// back only when the one that it has left the founding to has left it to another itself,
// and so will never found. A frontend founds when N frontends, itself included, have left
// the founding to it, where N is what all of them expect. Two sets of N out of fewer than
// 2N frontends have one in common, so no two frontends ever found: whatever messages are
// lost or late, and whichever frontends are killed and started again with their directories.
//
// Start reading at Frontend.Run, then next.
package forming

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// askPause is the pause between two rounds of questions, and askTimeout bounds one.
	askPause   = 250 * time.Millisecond
	askTimeout = 2 * time.Second
	// MaxExpect bounds the number of frontends that a group is formed of.
	MaxExpect = 15
)

// Hello is what a frontend without a group says of itself.
type Hello struct {
	Member string `json:"member"` // its id and that of its data, id@instance
	Expect int    `json:"expect"` // the number of frontends that it waits for
	Founds bool   `json:"founds"` // whether it is able to found
	// For is the frontend to which it leaves the founding: itself, or another one; "" for a
	// frontend that is not able to found and has heard of nobody who is.
	For string `json:"for"`
}

func (h *Hello) id() string {
	id, _, _ := strings.Cut(h.Member, "@")
	return id
}

// Answer is what somebody at an address to join has answered.
type Answer struct {
	Hello  *Hello // of a frontend without a group; else nil
	Group  bool   // it has a group
	Master bool   // that has a master, so that it can be joined
}

// Config describes a frontend that has no data yet.
type Config struct {
	Dir    string // its data directory
	Member string // its id and that of its data, id@instance
	Expect int    // the number of frontends to wait for, itself included
	Founds bool   // whether it is able to found: it has what a new group needs
	// Secret is what all the frontends share, and nobody else knows; "" in an insecure
	// group, where everybody is believed.
	Secret string
	// URLs returns the addresses to ask now, its own may be among them. With an error it
	// returns those that are known.
	URLs   func(ctx context.Context) ([]string, error)
	Logger *slog.Logger

	ask   func(ctx context.Context, url string) (Answer, error) // in tests, in the place of askHTTP
	store func(r record) error                                  // in tests, in the place of record.write
}

// Frontend is a frontend that has no group yet. It is safe for concurrent use.
type Frontend struct {
	Config
	mu     sync.Mutex
	record record
	logged map[string]string // the last line of each message
}

// New reads what the frontend has promised before.
func New(c Config) (*Frontend, error) {
	f := &Frontend{Config: c, logged: map[string]string{}}
	if f.ask == nil {
		f.ask = func(ctx context.Context, url string) (Answer, error) {
			return askHTTP(ctx, url, rand.Text(), c.Secret)
		}
	}
	if f.store == nil {
		f.store = func(r record) error { return r.write(c.Dir) }
	}
	var err error
	f.record, err = readRecord(c.Dir)
	return f, err
}

// Hello returns what the frontend says of itself.
func (f *Frontend) Hello() Hello {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := Hello{Member: f.Member, Expect: f.Expect, Founds: f.Founds, For: f.record.For}
	if h.For == "" && h.Founds {
		h.For = h.Member
	}
	return h
}

// Run returns when it is decided whether this frontend makes the group. If not, there is
// one to join. Once Run has returned true, it returns true after each restart, until the
// frontend has data.
func (f *Frontend) Run(ctx context.Context) (founds bool, err error) {
	for {
		if f.record.Founding && f.Founds {
			return true, nil
		}
		heard, group := f.askAll(ctx)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case group.Master:
			return false, nil
		case group.Group:
			f.log(slog.LevelInfo, "there is a group at the addresses to join; waiting until it has a master")
		default:
			decided, err := f.agree(heard)
			if decided || err != nil {
				return err == nil, err
			}
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(askPause):
		}
	}
}

// agree takes in what the others have said. It reports whether this frontend founds.
func (f *Frontend) agree(heard []Hello) (decided bool, err error) {
	self := f.Hello()
	if to := next(self, heard); to != self.For {
		if err := f.promise(record{For: to}); err != nil {
			return false, err
		}
		self.For = to
	}
	if !f.decided(self, heard) {
		return false, nil
	}
	return true, f.promise(record{For: self.For, Founding: true})
}

// promise stores r before anybody hears of it.
func (f *Frontend) promise(r record) error {
	if err := f.store(r); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record = r
	return nil
}

// next returns to whom a frontend leaves the founding after it has heard others.
func next(self Hello, heard []Hello) string {
	to := self.For
	for i := 0; i < len(heard); i++ {
		// It has left the founding to one that has left it to another. As each leaves it to
		// one with a lesser name only, nobody takes it up again.
		if h := heard[i]; h.Member == to && h.For != "" && h.For < to {
			to, i = h.For, -1
		}
	}
	if to != "" && to != self.Member {
		return to
	}
	for _, h := range heard {
		if h.Founds && h.For == h.Member && (to == "" || h.Member < to) {
			to = h.Member
		}
	}
	return to
}

// decided reports whether a frontend founds, by what the others have said.
func (f *Frontend) decided(self Hello, heard []Hello) bool {
	ids := []string{self.id()}
	left := 1 // the founding to this frontend, itself included
	for _, h := range heard {
		switch {
		case slices.Contains(ids, h.id()):
			f.log(slog.LevelError, "two frontends that wait for a group have the same id", "id", h.id())
			return false
		case h.Expect != self.Expect:
			f.log(slog.LevelError, "a frontend expects another number of frontends; start all with the same flags",
				"id", h.id(), "expects", h.Expect, "here", self.Expect)
			return false
		}
		ids = append(ids, h.id())
		if h.For == self.Member {
			left++
		}
	}
	slices.Sort(ids)
	switch {
	case len(ids) >= 2*self.Expect:
		f.log(slog.LevelError, "too many frontends wait for a group: they could make two; start fewer, "+
			"or expect more than half of them", "expect", self.Expect, "heard", ids)
		return false
	case self.Founds && self.For == self.Member && left >= self.Expect:
		f.log(slog.LevelInfo, "this frontend makes the group, as all have left that to it", "heard", ids)
		return true
	}
	f.log(slog.LevelInfo, "waiting until the frontends agree which one of them makes the group",
		"expect", self.Expect, "heard", ids, "for", self.For)
	return false
}

// log logs a line unless it was the last one with its message.
func (f *Frontend) log(level slog.Level, msg string, args ...any) {
	r := slog.NewRecord(time.Time{}, level, msg, 0)
	r.Add(args...)
	text := msg
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	if f.logged[msg] != text {
		f.logged[msg] = text
		f.Logger.Log(context.Background(), level, msg, args...)
	}
}

// askAll asks at all addresses and returns what the other frontends without a group say,
// each once, and whether anybody has a group.
func (f *Frontend) askAll(ctx context.Context) (heard []Hello, group Answer) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	urls, err := f.URLs(ctx)
	if err != nil {
		f.log(slog.LevelWarn, "some of the addresses to join are not known", "err", err)
	}
	answers := make([]Answer, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() {
			a, err := f.ask(ctx, url)
			if err != nil {
				f.Logger.Debug("no answer from an address to join", "url", url, "err", err)
				return
			}
			answers[i] = a
		})
	}
	asking.Wait()
	for _, a := range answers {
		group.Group, group.Master = group.Group || a.Group, group.Master || a.Master
		if h := a.Hello; h != nil && h.Member != f.Member &&
			!slices.ContainsFunc(heard, func(o Hello) bool { return o.Member == h.Member }) {
			heard = append(heard, *h)
		}
	}
	return heard, group
}
