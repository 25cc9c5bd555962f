package witness

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

const (
	maxStatements = 64      // of each kind that are kept of a frontend
	maxNotes      = 64      // in a message
	maxNoteSize   = 8 << 10 // bytes
)

// seat holds what one frontend of the policy said.
type seat struct {
	Frontend
	reports  map[Head][]byte // the signatures
	cosigned map[Head][]byte // those with the latest time
	evidence [][]byte        // two notes of one size that contradict each other
	newest   Head            // the largest report
	missed   int             // rounds proven since a new report
	diverged uint64          // the size of a proven round that it reported otherwise
	digest   Digest          // its newest one
	altered  uint64          // the size of a round of which it reported another digest than a quorum
}

func newSeat(f Frontend) *seat {
	return &seat{Frontend: f, reports: map[Head][]byte{}, cosigned: map[Head][]byte{}}
}

func (s *seat) said(kind byte) map[Head][]byte {
	if kind == cosignatureType {
		return s.cosigned
	}
	return s.reports
}

// take notes a valid signature and reports whether it is new. What contradicts an older
// statement is kept like that, because it counts for the proof of what it says.
func (s *seat) take(origin string, kind byte, h Head, signature []byte) bool {
	said := s.said(kind)
	if old, known := said[h]; known && (kind != cosignatureType || bytes.Compare(old[:8], signature[:8]) >= 0) {
		return false // the times of cosignatures come first in them
	}
	said[h] = signature
	if s.evidence == nil {
		s.evidence = s.contradiction(origin, kind, h)
	}
	if kind != cosignatureType && h.Size > s.newest.Size {
		s.newest, s.missed = h, 0
	}
	for len(said) > maxStatements {
		delete(said, slices.MinFunc(slices.Collect(maps.Keys(said)), compareHeads))
	}
	_, kept := said[h]
	return kept
}

func compareHeads(a, b Head) int {
	return cmp.Or(cmp.Compare(a.Size, b.Size), bytes.Compare(a.Root[:], b.Root[:]))
}

// newestOf returns the largest head of statements, or the zero one.
func newestOf(said map[Head][]byte) (newest Head) {
	for h := range said {
		if compareHeads(h, newest) > 0 {
			newest = h
		}
	}
	return newest
}

// contradiction returns the notes of a statement and of another one of the same size with
// another root, if there is one. What a frontend cosigns it has reported before.
func (s *seat) contradiction(origin string, kind byte, h Head) [][]byte {
	for _, other := range []byte{ed25519Type, cosignatureType} {
		for _, old := range slices.SortedFunc(maps.Keys(s.said(other)), compareHeads) {
			if old.Size == h.Size && old.Root != h.Root {
				return [][]byte{s.note(origin, other, old), s.note(origin, kind, h)}
			}
		}
	}
	return nil
}

func (s *seat) note(origin string, kind byte, h Head) []byte {
	return formNote(origin, kind, h, []*seat{s})
}

// formNote returns a note with what seats said of h, or nil if none did.
func formNote(origin string, kind byte, h Head, seats []*seat) []byte {
	n := note.Note{Text: h.text(origin, kind)}
	for _, s := range seats {
		if signature, ok := s.said(kind)[h]; ok {
			n.Sigs = append(n.Sigs, noteSignature(s.identity(kind), signature))
		}
	}
	formed, err := note.Sign(&n)
	if err != nil || len(n.Sigs) == 0 {
		return nil
	}
	return formed
}

func noteSignature(by identity, signature []byte) note.Signature {
	hash := by.KeyHash()
	all := append(binary.BigEndian.AppendUint32(nil, hash), signature...)
	return note.Signature{Name: by.name, Hash: hash, Base64: base64.StdEncoding.EncodeToString(all)}
}

// text returns what a report or a cosignature of h signs.
func (h Head) text(origin string, kind byte) string {
	if kind == cosignatureType {
		return h.checkpoint(origin)
	}
	return reportPrefix + h.checkpoint(origin)
}

// openStatement returns the kind, the head and the valid signatures of a note, by the name
// of the frontend. Signatures of unknown keys are left out. known may be nil.
func openStatement(p *Policy, signed []byte, known []*seat) (kind byte, h Head, by map[string][]byte, err error) {
	if len(signed) > maxNoteSize {
		return 0, Head{}, nil, fmt.Errorf("note over %d bytes: %w", maxNoteSize, ErrMalformed)
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	text, report := strings.CutPrefix(text+"\n", reportPrefix)
	if kind = cosignatureType; report {
		kind = ed25519Type
	}
	if h, err = parseCheckpoint(p.Origin(), text); err != nil {
		return 0, Head{}, nil, err
	}
	opened, err := note.Open(signed, p.memory(kind, h, known))
	if err != nil || opened.Text != h.text(p.Origin(), kind) {
		return 0, Head{}, nil, fmt.Errorf("note of round %d: %w: %v", h.Size, ErrSignature, err)
	}
	by = map[string][]byte{}
	for _, s := range opened.Sigs {
		if signature, err := base64.StdEncoding.DecodeString(s.Base64); err == nil {
			by[s.Name] = signature[4:] // behind the key's hash
		}
	}
	return kind, h, by, nil
}

// memory returns verifiers that do not verify again what is known.
func (p *Policy) memory(kind byte, h Head, known []*seat) note.Verifiers {
	if known == nil {
		return p.verifiers(kind, false)
	}
	verify := identity.Verify
	if p.verify != nil {
		verify = p.verify
	}
	var list []note.Verifier
	for _, s := range known {
		list = append(list, remembering{s.identity(kind), s.said(kind)[h], verify})
	}
	return note.VerifierList(list...)
}

type remembering struct {
	identity
	valid  []byte
	verify func(by identity, message, signature []byte) bool
}

func (r remembering) Verify(message, signature []byte) bool {
	return bytes.Equal(signature, r.valid) || r.verify(r.identity, message, signature)
}
