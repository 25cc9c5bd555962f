package witness

import (
	"fmt"
	"strings"
)

// state is what a frontend must not forget: it would contradict itself.
type state struct {
	reported Head   // its last report, which is its largest
	cosigned Head   // its last cosignature, which is of its largest proven round
	proof    string // the note that proves it, for others; a corrupt frontend may deny its part
	left     uint64 // the size of the newest round for which it has left its history
}

// text returns the state as it is saved. It names the key, whose promises it keeps.
func (s *state) text(key *Key) string {
	var b strings.Builder
	fmt.Fprintf(&b, "laurel witness 1\nkey %s\n", key.Verifier())
	for _, line := range s.heads() {
		fmt.Fprintf(&b, "%s %d %s\n", line.word, line.head.Size, encodeHash(line.head.Root))
	}
	fmt.Fprintf(&b, "left %d\n\n%s", s.left, s.proof)
	return b.String()
}

// Cosigned returns the newest head that a key has cosigned, by what a node of it has saved
// last; the zero value for none.
func Cosigned(key *Key, saved []byte) (Head, error) {
	if saved == nil {
		return Head{}, nil
	}
	s, err := parseState(key, string(saved))
	return s.cosigned, err
}

type headLine struct {
	word string
	head *Head
}

func (s *state) heads() []headLine {
	return []headLine{{"reported", &s.reported}, {"cosigned", &s.cosigned}}
}

// parseState takes only what text writes for the key.
func parseState(key *Key, saved string) (s state, err error) {
	text, proof, _ := strings.Cut(saved, "\n\n")
	lines := strings.SplitN(text, "\n", 6)
	malformed := fmt.Errorf("state of the key %s: %w", key.Verifier(), ErrMalformed)
	if len(lines) != 5 {
		return state{}, malformed
	}
	for i, line := range s.heads() {
		_, value, _ := strings.Cut(lines[2+i], " ")
		size, root, _ := strings.Cut(value, " ")
		if line.head.Size, err = parseNumber("", "", size); err != nil {
			return state{}, malformed
		}
		line.head.Root = decodeHash(root)
	}
	s.proof = proof
	_, left, _ := strings.Cut(lines[4], " ")
	if s.left, err = parseNumber("", "", left); err != nil || s.text(key) != saved {
		return state{}, malformed
	}
	return s, nil
}
