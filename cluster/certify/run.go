package certify

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"laurel/trust/access"
	"laurel/witness"
)

// restPause is how long Run waits at most before it looks at everything again.
const restPause = time.Second

// Run takes part in certificates until ctx ends.
func (c *Certifier) Run(ctx context.Context) {
	defer c.running.Wait()
	c.running.Go(func() { c.watch(ctx) })
	c.running.Go(func() { c.propose(ctx) })
	c.running.Go(func() { c.digest(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.wake:
		case <-timer.C:
		}
		c.step(ctx)
		timer.Reset(max(time.Until(c.nextAt), time.Millisecond))
	}
}

// step gives the node what there is, and shows what has come of it.
func (c *Certifier) step(ctx context.Context) {
	now := time.Now()
	c.nextAt = now.Add(restPause)
	c.follow()
	if c.node == nil {
		c.inbox.clear()
		return
	}
	c.feed(ctx)
	if d := c.digested.Swap(nil); d != nil {
		c.do(ctx, c.node.Digested(*d, now))
	}
	c.receive(ctx)
	now = time.Now()
	c.do(ctx, c.node.Tick(now))
	if c.fed > c.node.Certificate().Size && now.Sub(c.sentAt) >= witness.SealInterval {
		c.send(ctx, c.node.Notes()) // messages may have been lost
	}
	if c.fed > c.node.Certificate().Size {
		c.nextAt = earlier(c.nextAt, c.sentAt.Add(witness.SealInterval))
	}
	c.seals.want(c.node.WantsSeal(now) || c.Machine.Outdated())
	c.show()
	verdicts := c.node.Verdicts()
	c.verdicts.Store(&verdicts)
	c.compared.Store(c.node.Compared())
	to, must := c.node.GoBack()
	c.cosigned.Store(&to)
	round := c.node.Altered()
	othersHave := c.node.OthersHave()
	switch {
	case must && (!c.leaving || othersHave && !c.othersHave): // what was proven since may help
		c.leaving, c.othersHave = true, othersHave
		c.Logger.Error("the history of this frontend is not the one that a quorum has; it certifies nothing any more",
			"round", to.Size)
		if goBack := c.acts.Load().GoBack; goBack != nil {
			goBack(to, othersHave)
		}
	case c.leaving:
	case round > 0:
		c.leaving = true
		c.Logger.Error("the state of this frontend is not the one that a quorum with the same history has",
			"round", round)
		if c.StartOver != nil {
			c.StartOver(round)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// follow makes a node for the roster of the group, if it has changed.
func (c *Certifier) follow() {
	state := c.Access()
	if state != c.access {
		c.access = state
		if p := PolicyOf(state); c.policy == nil || p.String() != c.policy.String() {
			c.policy, c.node = p, nil
			c.start()
		}
		return
	}
	if _, next := c.Machine.Unsealed(); c.node != nil && next > 0 && next <= c.fed {
		c.start() // another state was installed
	}
}

// PolicyOf returns the policy of the frontends in a roster among themselves: it never ends.
func PolicyOf(s *access.State) *witness.Policy {
	p := &witness.Policy{Quorum: witness.LeastQuorum(len(s.Roster)), Until: time.Unix(1<<35, 0)}
	if s.Settings.Sworn {
		p.Store = s.Settings.Lineage
	}
	for _, e := range s.Roster {
		p.Frontends = append(p.Frontends, witness.Frontend{Name: e.Name, Public: e.Key})
	}
	slices.SortFunc(p.Frontends, func(a, b witness.Frontend) int { return strings.Compare(a.Name, b.Name) })
	return p
}

var errNotIn = errors.New("the roster does not have the key of this frontend")

// start makes the node, with what this frontend has signed before.
func (c *Certifier) start() {
	c.node, c.fed, c.leaving, c.othersHave = nil, 0, false, false
	if c.policy.Store == "" {
		return // not sworn, or not founded yet
	}
	err := c.load()
	if err == nil && !bytes.Equal(c.access.KeyOf(c.ID), c.key.Frontend().Public) {
		err = errNotIn
	}
	if err == nil {
		c.node, err = witness.NewNode(c.key, c.policy, c.saved)
	}
	if err != nil {
		c.node = nil
		if c.warned != err.Error() {
			c.Logger.Warn("this frontend signs nothing about its answers", "err", err)
		}
		c.warned = err.Error()
		return
	}
	c.warned = ""
	c.fed = c.node.Needs() - 1
}

// load reads what the key has signed.
func (c *Certifier) load() (err error) {
	if c.saved == nil {
		c.saved, err = c.State.Load()
	}
	return err
}

// feed gives the node the rounds that were made since.
func (c *Certifier) feed(ctx context.Context) {
	for _, h := range c.newHeads() {
		now := time.Now()
		since, known := c.seals.since(h.Size)
		if !known {
			since = now
		}
		c.node.Unsealed(time.Time{})
		c.fed = h.Size
		c.do(ctx, c.node.Sealed(h, since, now))
	}
	since, _ := c.seals.since(c.fed + 1)
	c.node.Unsealed(since)
}

// newHeads returns the heads of the rounds that the node was not given yet.
func (c *Certifier) newHeads() (heads []witness.Head) {
	_, next := c.Machine.Unsealed()
	if next <= c.fed+1 {
		return nil
	}
	sealed := c.Machine.Sealed(c.fed + 1)
	if len(sealed) == 0 || sealed[0].Head.Size != c.fed+1 {
		return c.Machine.Heads(c.fed + 1)
	}
	for _, s := range sealed {
		c.Compare(s.Round.Revision, s.Changed)
		heads = append(heads, s.Head)
	}
	return heads
}

// receive gives the node the notes that have come.
func (c *Certifier) receive(ctx context.Context) {
	for {
		from, notes, wait := c.inbox.take()
		if notes == nil {
			if wait > 0 {
				c.nextAt = earlier(c.nextAt, time.Now().Add(wait))
			}
			return
		}
		start := time.Now()
		out, err := c.node.Receive(notes, start)
		if err != nil {
			c.metrics.refused.WithLabelValues(from).Inc()
			c.Logger.Debug("notes of a frontend were refused", "member", from, "err", err)
		}
		c.inbox.rest(from, time.Since(start))
		c.do(ctx, out)
	}
}

// do does what the node wants. Nothing is sent before it is saved: this frontend could
// contradict itself after a crash. While the disk does not take it, the node is not used.
func (c *Certifier) do(ctx context.Context, out witness.Output) {
	for failed := false; out.Save != nil; {
		err := c.State.Save(out.Save)
		if err == nil {
			c.saved = out.Save
			break
		}
		if !failed {
			c.Logger.Error("could not save what this frontend signs, so it signs nothing", "err", err)
		}
		failed = true
		select {
		case <-ctx.Done():
			return
		case <-time.After(restPause):
		}
	}
	if out.Send != nil {
		c.send(ctx, out.Send)
	}
	c.nextAt = earlier(c.nextAt, out.Wake)
}

// show shows readers the newest certificate, if it is of the own history.
func (c *Certifier) show() {
	certificate, now := c.node.Certificate(), c.shown.Load()
	if certificate.Size == 0 || bytes.Equal(certificate.Note, now.note) {
		return
	}
	next := &publication{note: certificate.Note, at: certificate.At, changed: make(chan struct{})}
	switch {
	case now.sealed != nil && now.sealed.Head == certificate.Head:
		next.sealed, next.proofs = now.sealed, now.proofs
	case now.sealed != nil && now.sealed.Head.Size > certificate.Size:
		return // the node is new, and does not know the newest one yet
	default:
		sealed := c.Machine.Sealed(certificate.Size)
		if len(sealed) == 0 || sealed[0].Head.Size != certificate.Size {
			return // this frontend is behind
		}
		if sealed[0].Head != certificate.Head {
			next.strays, next.note = true, nil
			break
		}
		next.sealed, next.proofs = sealed[0], &proofs{list: map[string]*proved{}}
		c.Machine.Certified(certificate.Size)
	}
	if next.strays && now.strays {
		return
	}
	c.shown.Store(next)
	close(now.changed)
}
