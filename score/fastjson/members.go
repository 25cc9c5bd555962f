package fastjson

// Members notes where the members of an object are in its text, so that they can be written
// in another order without being made again. The zero value notes nothing yet.
type Members struct {
	text  string
	at    [maxMembers]span
	order []uint8
	last  int
	exact bool
}

type span struct{ from, to uint16 }

const (
	maxMembers = 24
	maxNoted   = 1<<16 - 1 // bytes of a text
)

// Loosen notes that something was not read in the form in which it is written. The reader
// does so itself for white space, numbers that are not in their shortest form, and whatever
// it cannot tell: texts that are not ASCII, and times.
func (r *Reader) Loosen() { r.loose = true }

// Note notes that the member number i was read, and begins at a position. written is false
// if it would be left out.
func (m *Members) Note(r *Reader, i, from int, written bool) {
	if !written || i < m.last || i >= maxMembers || r.at > maxNoted {
		r.loose = true
		return
	}
	m.last = i
	m.at[i] = span{uint16(from), uint16(r.at)}
}

// End notes that the whole object was read. order has the numbers of all members in the
// order in which Append is to write them.
func (m *Members) End(r *Reader, order []uint8) {
	m.text, m.order, m.exact = r.s, order, !r.loose
}

// Exact reports whether the object was read to its end, with its members in order, and
// nothing was loose: the Writer would write the same text.
func (m *Members) Exact() bool { return m.exact }

// Append appends the object with its members in the order that End was told.
func (m *Members) Append(b []byte) []byte {
	b = append(b, '{')
	from := len(b)
	for _, i := range m.order {
		if at := m.at[min(i, maxMembers-1)]; at.to > 0 {
			if len(b) > from {
				b = append(b, ',')
			}
			b = append(b, m.text[at.from:at.to]...)
		}
	}
	return append(b, '}')
}
