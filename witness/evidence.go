package witness

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
)

// Evidence returns which frontends two notes convict, in the order of their names: they have
// signed two roots of one size.
func Evidence(p *Policy, a, b []byte) (frontends []string, err error) {
	first, byFirst, err := Signers(p, a)
	if err != nil {
		return nil, err
	}
	second, bySecond, err := Signers(p, b)
	if err != nil {
		return nil, err
	}
	for _, name := range byFirst {
		if slices.Contains(bySecond, name) && first.Size == second.Size && first.Root != second.Root {
			frontends = append(frontends, name)
		}
	}
	if len(frontends) == 0 {
		return nil, fmt.Errorf("the notes contradict each other by nobody: %w", ErrSignature)
	}
	return frontends, nil
}

// Signers returns the head that a report or a certificate is about, and which frontends of
// the policy have signed it, in the order of their names. There is at least one.
func Signers(p *Policy, signed []byte) (Head, []string, error) {
	_, head, by, err := openStatement(p, signed, nil)
	return head, slices.Sorted(maps.Keys(by)), err
}

// notesEnd separates the notes of a file: no note has two line breaks twice.
var notesEnd = []byte("\n\n")

// JoinNotes returns the content of a file with notes, such as those of a conviction.
func JoinNotes(notes ...[]byte) []byte { return bytes.Join(notes, []byte("\n")) }

// SplitNotes returns the notes of a file that JoinNotes has made.
func SplitNotes(file []byte) (notes [][]byte) {
	parts := bytes.Split(bytes.TrimRight(file, "\n"), notesEnd)
	for i := 0; i+1 < len(parts); i += 2 {
		notes = append(notes, slices.Concat(parts[i], notesEnd, parts[i+1], []byte("\n")))
	}
	return notes
}
