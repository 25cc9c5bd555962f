package witness

import (
	"bytes"
	"slices"
	"time"
)

// liar is the corrupt frontend. It knows all that honest ones say, at once, and says
// anything that its key can sign, to anybody.
type liar struct {
	*front
	world *world
	mood  int
	heard [][]byte
}

func (l *liar) hear(notes [][]byte) {
	for _, n := range notes {
		if len(l.heard) == 0 || !bytes.Equal(l.heard[len(l.heard)-1], n) {
			l.heard = append(l.heard, n)
		}
	}
	if extra := len(l.heard) - 200; extra > 0 {
		l.heard = l.heard[extra:]
	}
}

// act says something, now and then.
func (l *liar) act() {
	w := l.world
	if w.calm {
		return
	}
	w.after(w.between(time.Millisecond, 150*time.Millisecond), l.act)
	var notes [][]byte
	switch {
	case l.mood == 0: // it is silent, mostly
		if !w.chance(0.05) {
			return
		}
		notes = l.lie()
	case l.mood == 1: // it supports all that is said
		notes = l.support()
	case l.mood == 2 && w.chance(0.5):
		notes = l.support()
	default:
		notes = l.lie()
	}
	for _, to := range w.honest() {
		if l.mood == 1 || w.chance(0.6) {
			w.after(w.someDelay(), func() { to.receive(notes) })
		}
	}
}

// support reports and cosigns what honest frontends have last reported or sealed.
func (l *liar) support() (notes [][]byte) {
	for _, f := range l.world.honest() {
		if !f.up() {
			continue
		}
		if h := f.node.state.reported; h.Size > 0 {
			notes = append(notes, l.sign(ed25519Type, h, l.world.now), l.sign(cosignatureType, h, l.world.now))
		}
	}
	return notes
}

func (l *liar) lie() (notes [][]byte) {
	w := l.world
	h := l.anyHead()
	at := w.now.Add(w.between(-20*time.Second, 20*time.Second))
	switch w.rand.IntN(7) {
	case 0:
		notes = append(notes, l.sign(ed25519Type, h, w.now))
	case 1:
		notes = append(notes, l.sign(cosignatureType, h, at))
	case 2:
		notes = append(notes, l.sign(ed25519Type, h, w.now), l.sign(cosignatureType, h, at))
	case 3: // a replay
		if len(l.heard) > 0 {
			notes = append(notes, l.heard[w.rand.IntN(len(l.heard))])
		}
	case 4: // junk
		if len(l.heard) > 0 {
			junk := bytes.Clone(l.heard[w.rand.IntN(len(l.heard))])
			junk[w.rand.IntN(len(junk))] ^= 1 << w.rand.IntN(8)
			notes = append(notes, junk)
		}
	case 5: // from far ahead
		h.Size += uint64(1 + w.rand.IntN(1<<20))
		notes = append(notes, l.sign(ed25519Type, h, w.now))
	case 6: // one report for some, another one for others
		for _, other := range w.honest() {
			h := other.head()
			if h.Size > 0 {
				signed := l.sign(ed25519Type, h, w.now)
				w.after(w.someDelay(), func() { other.receive([][]byte{signed}) })
			}
		}
	}
	return notes
}

// anyHead returns a head of some honest history, mostly a new one, or of none.
func (l *liar) anyHead() Head {
	w := l.world
	f := w.honest()[w.rand.IntN(simFrontends-1)]
	back := w.rand.IntN(4)
	switch {
	case w.chance(0.1) || len(f.log) <= back:
		return w.next(f.head(), byte(w.rand.IntN(3)))
	case w.chance(0.3) && f.up() && f.node.state.reported.Size > 0:
		return f.node.state.reported
	}
	return f.log[len(f.log)-1-back]
}

func (l *liar) sign(kind byte, h Head, at time.Time) []byte {
	s := newSeat(l.key.Frontend())
	by := signer{s.identity(kind), l.key, uint64(max(at.Unix(), 0))}
	text := []byte(h.text(l.world.policy.Origin(), kind))
	signature, err := by.Sign(text)
	if err != nil {
		l.world.failed("the corrupt one cannot sign: %v", err)
	}
	if l.world.verified != nil {
		l.world.verified[signedBy(by.identity, text, signature)] = true
	}
	s.said(kind)[h] = slices.Clip(signature)
	return s.note(l.world.policy.Origin(), kind, h)
}
