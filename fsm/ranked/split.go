package ranked

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/score/ranking"
)

// splitMarks is what the Splits bucket has of a split: the number of its marks, and which are
// the best. Most marks of a large contest are not among those, and change nothing here.
type splitMarks struct {
	total int
	best  []place // the first of all marks, in order; all, if they are total
}

// maxBest is the most that are known of the best marks at a split. A contest's record shows
// fewer, so all marks are read again only after many of these were removed.
const maxBest = 256

// place is the place of a mark in the order of the ranking. Equal marks are ordered by the
// competitor's code, so the order is total.
type place struct {
	order      ranking.Order
	competitor string
}

func (p place) compare(other place) int {
	return cmp.Or(p.order.Compare(other.order), strings.Compare(p.competitor, other.competitor))
}

func (s *splitMarks) clone() *splitMarks { return &splitMarks{s.total, slices.Clone(s.best)} }

// reaches reports whether a place is among the best, if a mark has it.
func (s *splitMarks) reaches(p place) bool {
	n := len(s.best)
	return n == s.total || n > 0 && p.compare(s.best[n-1]) <= 0
}

// add adds a mark at a place.
func (s *splitMarks) add(p place) {
	if s.reaches(p) { // otherwise there may be better ones among those that are not known
		s.offer(p)
	}
	s.total++
}

// offer adds a place to the best if it is among the first maxBest of them.
func (s *splitMarks) offer(p place) {
	i, _ := slices.BinarySearchFunc(s.best, p, place.compare)
	if i < maxBest {
		s.best = slices.Insert(s.best[:min(len(s.best), maxBest-1)], i, p)
	}
}

// remove removes the mark at a place.
func (s *splitMarks) remove(p place) {
	if i, found := slices.BinarySearchFunc(s.best, p, place.compare); found {
		s.best = slices.Delete(s.best, i, i+1)
	}
	s.total--
}

// knows reports whether the first n marks are known.
func (s *splitMarks) knows(n int) bool { return len(s.best) >= min(n, s.total) }

// append appends the encoded split: the number of marks, the number of the best, and for
// each of these the length of the code with a bit that is set if the order is exact, the
// code, and the numbers of the order.
func (s *splitMarks) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.total))
	b = binary.AppendUvarint(b, uint64(len(s.best)))
	for _, p := range s.best {
		exact := p.order.Exact()
		b = binary.AppendUvarint(b, uint64(len(p.competitor))<<1|protowire.EncodeBool(exact))
		b = append(b, p.competitor...)
		b = binary.AppendVarint(b, int64(p.order.First))
		if exact {
			b = binary.AppendVarint(binary.AppendVarint(b, int64(p.order.Second)), int64(p.order.Third))
		}
	}
	return b
}

// decodeSplit decodes a split; the zero split for nil.
func decodeSplit(value []byte) (*splitMarks, error) {
	s := &splitMarks{}
	if value == nil {
		return s, nil
	}
	d, text := decoder{b: value}, string(value)
	s.total = int(d.uvarint())
	n := d.uvarint()
	if n > maxBest {
		return s, database.ErrDamaged
	}
	s.best = make([]place, 0, n+1)
	plain := ranking.Direction{}.Order(&ranking.Mark{})
	for range n {
		head, p := d.uvarint(), place{order: plain}
		code := text[len(text)-len(d.b):]
		if head>>1 > uint64(len(code)) {
			return s, database.ErrDamaged
		}
		p.competitor, d.b = code[:head>>1], d.b[head>>1:]
		p.order.First = d.decimal()
		if protowire.DecodeBool(head & 1) {
			p.order.Second, p.order.Third = d.decimal(), d.decimal()
		}
		s.best = append(s.best, p)
	}
	if d.damaged || len(d.b) > 0 {
		return s, database.ErrDamaged
	}
	return s, nil
}
