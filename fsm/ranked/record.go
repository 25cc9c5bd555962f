package ranked

import (
	"encoding/binary"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"laurel/fsm/database"
	"laurel/score"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// record is what the Marks bucket has of a competitor: all its marks together, because a
// mark changes what the others have, and each write to the database costs.
type record struct {
	competitor string
	named      ranking.Traits // what its marks name; IRMs and Strikes follow from marks
	shown      ranking.Traits // with what definitions make known, as its marks have it; no IRMs
	splits     []int          // numbers of the splits with a mark, in order
	marks      []ranking.Mark // of splits
}

// The fields of a record: a byte of the has-flags, the texts that they announce, and then
// each mark as the number of its split, a byte of its IRM and of the mark-flags, its value,
// and the numbers that the flags announce.
const (
	hasCategories = 1 << iota
	hasOrganisation
	showsCategories // others than it has
	showsOrganisation
	showsName
)

const (
	irmBits  = 0x0f // the place in score.IRMs, from 1
	hasMark2 = 1 << (iota + 3)
	hasPlace
	hasOut
	hasReached
)

// maxSplits is more than any contest has.
const maxSplits = 1 << 16

// reset makes r the record of a competitor without marks.
func (r *record) reset(competitor string) {
	*r = record{competitor: competitor, splits: r.splits[:0], marks: r.marks[:0]}
}

func (r *record) isEmpty() bool { return len(r.marks) == 0 && r.named == (ranking.Traits{}) }

// at returns the mark at a split, nil if there is none.
func (r *record) at(split int) *ranking.Mark {
	if i, found := slices.BinarySearch(r.splits, split); found {
		return &r.marks[i]
	}
	return nil
}

func (r *record) set(split int, m ranking.Mark) {
	i, found := slices.BinarySearch(r.splits, split)
	if !found {
		r.splits, r.marks = slices.Insert(r.splits, i, split), slices.Insert(r.marks, i, m)
	}
	r.marks[i] = m
}

func (r *record) remove(split int) {
	if i, found := slices.BinarySearch(r.splits, split); found {
		r.splits, r.marks = slices.Delete(r.splits, i, i+1), slices.Delete(r.marks, i, i+1)
	}
}

// show sets what the marks of a competitor with the traits show.
func (r *record) show(t ranking.Traits) {
	r.shown = ranking.Traits{Categories: t.Categories, Organisation: t.Organisation, Name: t.Name}
}

// dress sets what m has of the competitor.
func (r *record) dress(m *ranking.Mark) {
	m.Competitor, m.Categories, m.Organisation, m.Name =
		r.competitor, r.shown.Categories, r.shown.Organisation, r.shown.Name
}

// restate sets what the marks have in common.
func (r *record) restate() {
	if len(r.splits) == 0 {
		return
	}
	marks := make([]*ranking.Mark, r.splits[len(r.splits)-1]+1)
	for i, split := range r.splits {
		marks[split] = &r.marks[i]
	}
	r.shown.Restate(marks)
}

// append appends the encoded record.
func (r *record) append(b []byte) []byte {
	flags, at := byte(0), len(b)
	b = append(b, 0)
	text := func(flag byte, has bool, text string) {
		if has {
			flags |= flag
			b = protowire.AppendString(b, text)
		}
	}
	text(hasCategories, r.named.Categories != "", string(r.named.Categories))
	text(hasOrganisation, r.named.Organisation != "", r.named.Organisation)
	text(showsCategories, r.shown.Categories != r.named.Categories, string(r.shown.Categories))
	text(showsOrganisation, r.shown.Organisation != r.named.Organisation, r.shown.Organisation)
	text(showsName, r.shown.Name != "", r.shown.Name)
	b[at] = flags
	for i, split := range r.splits {
		b = appendMark(protowire.AppendVarint(b, uint64(split)), &r.marks[i])
	}
	return b
}

func appendMark(b []byte, m *ranking.Mark) []byte {
	flags := irmNumber(m.IRM)
	at := len(b)
	b = binary.AppendVarint(append(b, 0), int64(m.Value))
	if m.Mark2 != nil {
		flags |= hasMark2
		b = binary.AppendVarint(b, int64(*m.Mark2))
	}
	if m.Place != 0 {
		flags |= hasPlace
		b = binary.AppendUvarint(b, uint64(m.Place))
	}
	if m.Out != "" {
		flags |= hasOut
		b = append(b, irmNumber(m.Out))
	}
	if m.Reached != 0 {
		flags |= hasReached
		b = binary.AppendUvarint(b, uint64(m.Reached))
	}
	b[at] = flags
	return b
}

// irmNumber returns the number of an IRM, 0 for none.
func irmNumber(irm string) byte { return byte(slices.Index(score.IRMs, irm) + 1) }

// decode replaces r by the record of a competitor. It keeps a copy of the texts.
func (r *record) decode(competitor string, value []byte) error {
	r.reset(competitor)
	d := decoder{b: value}
	flags := d.byte()
	if flags&hasCategories != 0 {
		r.named.Categories = ranking.Categories(d.text())
	}
	if flags&hasOrganisation != 0 {
		r.named.Organisation = d.text()
	}
	r.shown = r.named
	if flags&showsCategories != 0 {
		r.shown.Categories = ranking.Categories(d.text())
	}
	if flags&showsOrganisation != 0 {
		r.shown.Organisation = d.text()
	}
	if flags&showsName != 0 {
		r.shown.Name = d.text()
	}
	for len(d.b) > 0 && !d.damaged {
		split, m := d.uvarint(), d.mark()
		d.damaged = d.damaged || split >= maxSplits
		r.dress(&m)
		r.splits, r.marks = append(r.splits, int(split)), append(r.marks, m)
	}
	if d.damaged || !slices.IsSorted(r.splits) {
		return database.ErrDamaged
	}
	r.named = r.named.Recount(r.marks)
	return nil
}

// decoder consumes the fields of a record.
type decoder struct {
	b       []byte
	damaged bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.damaged = true
		return 0
	}
	first := d.b[0]
	d.b = d.b[1:]
	return first
}

// skip skips n bytes that were consumed. It reports a failure if n is not positive.
func (d *decoder) skip(n int) {
	if n <= 0 {
		d.b, d.damaged = nil, true
		return
	}
	d.b = d.b[n:]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	d.skip(n)
	return v
}

func (d *decoder) decimal() mark.Decimal {
	v, n := binary.Varint(d.b)
	d.skip(n)
	return mark.Decimal(v)
}

func (d *decoder) text() string {
	text, n := protowire.ConsumeBytes(d.b)
	d.skip(n)
	return string(text)
}

func (d *decoder) irm(number byte) string {
	switch {
	case number == 0:
		return ""
	case int(number) > len(score.IRMs):
		d.damaged = true
		return ""
	}
	return score.IRMs[number-1]
}

func (d *decoder) mark() (m ranking.Mark) {
	flags := d.byte()
	m.IRM, m.Value = d.irm(flags&irmBits), d.decimal()
	if flags&hasMark2 != 0 {
		m.Mark2 = new(d.decimal())
	}
	if flags&hasPlace != 0 {
		m.Place = int(d.uvarint())
	}
	if flags&hasOut != 0 {
		m.Out = d.irm(d.byte())
	}
	if flags&hasReached != 0 {
		m.Reached = int(d.uvarint())
	}
	return m
}
