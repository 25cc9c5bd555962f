package rounds

import (
	"cmp"
	"slices"

	"laurel/witness"
)

// Publish makes what has changed visible to Unsealed, and wakes those who wait.
func (l *Log) Publish() {
	n := len(l.changed)
	l.mu.Lock()
	defer l.mu.Unlock()
	if n != l.published || l.made {
		l.published, l.made = n, false
		l.notify()
	}
}

// notify wakes who waits for Wake. l.mu must be held.
func (l *Log) notify() {
	if l.wake != nil {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Wake returns the channel that receives a value when a round was made, when the number of
// answers that have changed since is another one, or when other rounds were read from a
// snapshot. It is one channel, for one goroutine.
func (l *Log) Wake() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{}, 1)
	}
	return l.wake
}

// Unsealed returns how many answers may have changed since the last seal, and the number
// of the next round; 0 and 0 in a group that is not sworn.
func (l *Log) Unsealed() (changed int, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := len(l.heads); {
	case n > 0:
		next = l.heads[n-1].Number + 1
	case l.published > 0: // the roster at least, since the group was founded
		next = 1
	}
	return l.published, next
}

// Format returns the format of the answers of the newest round; 0 if there is none.
func (l *Log) Format() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.heads) == 0 {
		return 0
	}
	return l.format
}

// Sealed returns the rounds in memory with this number or a larger one, in order. After a
// start there is the last one only.
func (l *Log) Sealed(from uint64) []*Sealed {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.sealed, from, func(s *Sealed, from uint64) int {
		return cmp.Compare(s.Round.Number, from)
	})
	return slices.Clone(l.sealed[i:])
}

// Heads returns the heads of the rounds with this number or a larger one, in order, as far
// as they are known: those of the newest 1,024 rounds at least.
func (l *Log) Heads(from uint64) []witness.Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.heads, from, func(h *head, from uint64) int {
		return cmp.Compare(h.Number, from)
	})
	list := make([]witness.Head, 0, len(l.heads)-i)
	for _, h := range l.heads[i:] {
		list = append(list, h.Head)
	}
	return list
}

// Round returns the round with a number, and its head, if it is known.
func (l *Log) Round(number uint64) (round witness.Round, of witness.Head, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, known := slices.BinarySearchFunc(l.heads, number, func(h *head, n uint64) int {
		return cmp.Compare(h.Number, n)
	})
	if !known {
		return round, of, false
	}
	return l.heads[i].Round, l.heads[i].Head, true
}

// Certified allows to forget the rounds before one. That one stays in memory until a later
// one is certified.
func (l *Log) Certified(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.certified = number
	l.forget()
}
