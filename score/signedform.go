package score

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
	"unicode/utf16"

	"github.com/go-json-experiment/json/jsontext"
)

// What a bard signs is the event as the timeline shows it, as JSON in the canonical form of RFC 8785, without what the store adds:
//
//	{"contest_id":...,"data":{...},"id":...,"key":...,"seq":...,"source":...,"time":...,"type":...}
//
// Whoever has a JSON library and SHA-256 can make it from what it reads. Here it is made from data that is canonical already, for every event that
// is posted or applied: its members are put in order, and everything else is taken over as it is. So data that says the same in another spelling
// has another form, which nobody signed. What has the same form differs at most in the order of an object's members.

// SignedForm is what a signature of e covers. An error means that the event cannot be signed, for it is incomplete, or cannot be written.
func SignedForm(e *Event) ([]byte, error) { return AppendForm(make([]byte, 0, 512), e) }

// AppendForm appends the signed form of e, made from its Data.
func AppendForm(b []byte, e *Event) ([]byte, error) {
	b, err := appendFormHead(b, e)
	if err != nil {
		return b, err
	}
	if quick, ok := quickForm(b, e.Data); ok {
		return appendFormTail(quick, e), nil
	}
	data, err := MarshalData(e.Data)
	if err != nil {
		return b, err
	}
	if b, err = appendSorted(b, data); err != nil {
		return b, err
	}
	return appendFormTail(b, e), nil
}

// AppendSignedForm is AppendForm for whoever has the canonical data of e: it does not look at e.Data. An error also means that data is not canonical; but
// data must be such as UnmarshalData reads.
func AppendSignedForm(b []byte, e *Event, data []byte) ([]byte, error) {
	b, err := appendFormHead(b, e)
	if err != nil {
		return b, err
	}
	if b, err = appendSorted(b, data); err != nil {
		return b, err
	}
	return appendFormTail(b, e), nil
}

func appendSorted(b, data []byte) ([]byte, error) {
	s := sorter{src: data}
	b, err := s.value(b)
	if err == nil && (s.at != len(data) || data[0] != '{') {
		err = errNotCanonical
	}
	return b, err
}

// appendFormHead appends what stands before the data.
func appendFormHead(b []byte, e *Event) ([]byte, error) {
	if err := signable(e); err != nil {
		return b, err
	}
	b = append(b, `{"contest_id":`...)
	b = appendText(b, e.ContestID)
	return append(b, `,"data":`...), nil
}

// appendFormTail appends what stands behind the data.
func appendFormTail(b []byte, e *Event) []byte {
	b = append(b, `,"id":`...)
	b = appendText(b, e.ID)
	b = append(b, `,"key":`...)
	b = appendText(b, e.Key)
	b = append(b, `,"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, `,"source":`...)
	b = appendText(b, e.Source)
	b = append(b, `,"time":"`...)
	b = e.Time.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","type":`...)
	b = appendText(b, string(e.Type))
	return append(b, '}')
}

// signable says what an event lacks to be signed.
func signable(e *Event) error {
	missing := ""
	switch {
	case e.Key == "":
		missing = "key"
	case e.ID == "":
		missing = "id"
	case e.Source == "":
		missing = "source"
	case e.Seq == 0:
		missing = "seq"
	case e.Time.IsZero():
		missing = "time"
	}
	if missing != "" {
		return fmt.Errorf("%s is missing; what is signed has an id, a source, a seq and a time", missing)
	}
	// Other offsets would be cut off as the time is written: times that differ would look alike.
	if _, offset := e.Time.Zone(); offset%60 != 0 {
		return fmt.Errorf("the time's offset, %d s, is no whole minute", offset)
	}
	return nil
}

// appendText appends s as a JSON string; RFC 8785 writes it as jsontext does.
func appendText(b []byte, s string) []byte {
	w := quickWriter{b: b}
	w.quote(s) // what is not UTF-8 is replaced
	return w.b
}

var errNotCanonical = errors.New("the data is not in canonical form")

// sorter puts the members of objects in order: by the UTF-16 code units of their names.
type sorter struct {
	src   []byte
	at    int
	depth int
}

// maxDepth is more than any data has.
const maxDepth = 8

// maxDigits is how many digits a number may have for every JSON reader to keep it exactly, and to write it again as it was.
const maxDigits = 15

// member is a member of an object: where its name, without the quotes, and its value stand.
type member struct {
	name, nameEnd, value, end int32
	// begins is the first bytes of the name, to compare most names at once; plain tells that its bytes can be compared at all.
	begins uint64
	plain  bool
}

func (s *sorter) value(b []byte) ([]byte, error) {
	if s.at >= len(s.src) || s.depth > maxDepth {
		return b, errNotCanonical
	}
	from := s.at
	switch s.src[s.at] {
	case '{':
		return s.object(b)
	case '[':
		return s.array(b)
	default:
		if !s.skip() {
			return b, errNotCanonical
		}
		return append(b, s.src[from:s.at]...), nil
	}
}

func (s *sorter) array(b []byte) (_ []byte, err error) {
	s.depth++
	s.at++
	b = append(b, '[')
	for n := 0; ; n++ {
		if s.is(']') {
			s.depth--
			return append(b, ']'), nil
		}
		if n > 0 {
			if !s.is(',') {
				return b, errNotCanonical
			}
			b = append(b, ',')
		}
		if b, err = s.value(b); err != nil {
			return b, err
		}
	}
}

func (s *sorter) object(b []byte) ([]byte, error) {
	var few [12]member
	members := few[:0]
	s.at++
	for !s.is('}') {
		if len(members) > 0 && !s.is(',') {
			return b, errNotCanonical
		}
		m := member{name: int32(s.at + 1)}
		if m.plain = s.text(); s.at == 0 {
			return b, errNotCanonical
		}
		m.nameEnd = int32(s.at - 1)
		for i := m.name; i < m.name+8; i++ {
			m.begins <<= 8
			if i < m.nameEnd {
				m.begins |= uint64(s.src[i])
			}
		}
		if !s.is(':') {
			return b, errNotCanonical
		}
		m.value = int32(s.at)
		if !s.skip() {
			return b, errNotCanonical
		}
		m.end = int32(s.at)
		members = append(members, m)
	}
	if !s.sort(members) {
		return b, errNotCanonical
	}
	return s.members(b, members)
}

// sort orders members; false: a name is there twice.
func (s *sorter) sort(members []member) bool {
	if len(members) > 32 {
		src := s.src
		slices.SortFunc(members, func(a, b member) int { return compareNames(src, &a, &b) })
	}
	for i := 1; i < len(members); i++ {
		for j := i; j > 0; j-- {
			order := compareNames(s.src, &members[j-1], &members[j])
			if order == 0 {
				return false
			}
			if order < 0 {
				break
			}
			members[j-1], members[j] = members[j], members[j-1]
		}
	}
	return true
}

// compareNames compares the names of members. RFC 8785 orders them by UTF-16, which is another order than that of UTF-8 only where there is more than ASCII; what is escaped
// is compared as what it means.
func compareNames(src []byte, a, b *member) int {
	if !a.plain || !b.plain {
		u, _ := jsontext.AppendUnquote(nil, src[a.name-1:a.nameEnd+1])
		v, _ := jsontext.AppendUnquote(nil, src[b.name-1:b.nameEnd+1])
		return cmp.Or(slices.Compare(utf16.Encode([]rune(string(u))), utf16.Encode([]rune(string(v)))), bytes.Compare(u, v))
	}
	if a.begins != b.begins {
		return cmp.Compare(a.begins, b.begins)
	}
	return bytes.Compare(src[a.name:a.nameEnd], src[b.name:b.nameEnd])
}

// members appends members in their order, each with what is in it in order too.
func (s *sorter) members(b []byte, members []member) (_ []byte, err error) {
	end := s.at
	b = append(b, '{')
	for i := range members {
		m := &members[i]
		if i > 0 {
			b = append(b, ',')
		}
		if c := s.src[m.value]; c != '{' && c != '[' {
			b = append(b, s.src[m.name-1:m.end]...)
			continue
		}
		b = append(b, s.src[m.name-1:m.value]...)
		s.at = int(m.value)
		s.depth++
		if b, err = s.value(b); err != nil {
			return b, err
		}
		s.depth--
		if s.at != int(m.end) {
			return b, errNotCanonical
		}
	}
	s.at = end
	return append(b, '}'), nil
}

// is steps over c.
func (s *sorter) is(c byte) bool {
	if s.at < len(s.src) && s.src[s.at] == c {
		s.at++
		return true
	}
	return false
}

// text steps over a string, and tells whether it has nothing but ASCII, and no escapes. Where there is none it goes back to the beginning, which is
// no string's end.
func (s *sorter) text() (plain bool) {
	if !s.is('"') {
		s.at = 0
		return false
	}
	plain = true
	for i := s.at; i < len(s.src); i++ {
		switch c := s.src[i]; {
		case c == '"':
			s.at = i + 1
			return plain
		case c == '\\':
			i++
			plain = false
		case c < ' ':
			s.at = 0
			return false
		case c > '~':
			plain = false
		}
	}
	s.at = 0
	return false
}

// skip steps over a value. What is in an object or an array is looked at more closely when it is put in order.
func (s *sorter) skip() bool {
	if s.at >= len(s.src) {
		return false
	}
	switch c := s.src[s.at]; {
	case c == '"':
		s.text()
		return s.at > 0
	case c == '{' || c == '[':
		return s.nested()
	}
	from, digits := s.at, 0
	for ; s.at < len(s.src); s.at++ {
		c := s.src[s.at]
		if c == ',' || c == '}' || c == ']' {
			break
		}
		if c <= ' ' || c >= 0x7f || c == '"' || c == ':' {
			return false
		}
		if '0' <= c && c <= '9' {
			digits++
		}
	}
	return s.at > from && digits <= maxDigits
}

func (s *sorter) nested() bool {
	for depth := 0; s.at < len(s.src); {
		switch s.src[s.at] {
		case '"':
			if s.text(); s.at == 0 {
				return false
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return true
		}
	}
	return false
}
