package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"laurel/trust/merkle"
)

const (
	// MaxProofSize is the size of the largest proof that is parsed, in bytes.
	MaxProofSize = 64 << 10
	// MaxAge is how old, or how much of the future, a certificate may be for a reader.
	MaxAge = 5 * time.Second

	proofHeader = "c2sp.org/tlog-proof@v1"
	maxPath     = 64 // hashes
)

// Proof proves an answer, or that there is none: it is a tlog-proof of C2SP for the newest
// round, whose extra data leads from the round to the answer.
type Proof struct {
	Round  Round
	Path   []Hash // of the round in the tree of rounds
	Note   []byte // the certificate
	Leaves []Leaf // what [Answers.Prove] returned
}

// String returns the text of the proof.
func (p *Proof) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofHeader,
		base64.StdEncoding.EncodeToString([]byte(p.extra())), p.Round.Number-1)
	writePath(&b, p.Path)
	b.WriteByte('\n')
	b.Write(p.Note)
	return b.String()
}

func (p *Proof) extra() string {
	var b strings.Builder
	b.WriteString(p.Round.String())
	for _, leaf := range p.Leaves {
		fmt.Fprintf(&b, "leaf %d %s %s\n", leaf.Index, encodeHash(leaf.Body), leaf.Key)
		writePath(&b, leaf.Path)
	}
	return b.String()
}

func writePath(b *strings.Builder, path []Hash) {
	for _, h := range path {
		fmt.Fprintf(b, "%s\n", encodeHash(h))
	}
}

// ParseProof takes only what String writes. It does not verify anything.
func ParseProof(text string) (*Proof, error) {
	malformed := fmt.Errorf("proof: %w", ErrMalformed)
	if len(text) > MaxProofSize {
		return nil, malformed
	}
	head, signed, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if len(lines) < 3 || len(lines) > 3+maxPath {
		return nil, malformed
	}
	extra, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	if err != nil {
		return nil, malformed
	}
	p := &Proof{Note: []byte(signed), Path: parsePath(lines[3:])}
	if err := p.parseExtra(string(extra)); err != nil {
		return nil, err
	}
	if p.String() != text {
		return nil, malformed
	}
	return p, nil
}

const roundLines = 5

func (p *Proof) parseExtra(text string) (err error) {
	malformed := fmt.Errorf("proof of the answer: %w", ErrMalformed)
	lines := strings.SplitAfter(text, "\n")
	if len(lines) < roundLines+1 || len(lines) > roundLines+2*(1+maxPath)+1 {
		return malformed
	}
	if p.Round, err = ParseRound(strings.Join(lines[:roundLines], "")); err != nil {
		return err
	}
	for _, line := range lines[roundLines : len(lines)-1] {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "leaf "); ok {
			index, rest, _ := strings.Cut(rest, " ")
			body, key, _ := strings.Cut(rest, " ")
			leaf := Leaf{Body: decodeHash(body), Key: key}
			if leaf.Index, err = parseNumber("", "", index); err != nil {
				return err
			}
			p.Leaves = append(p.Leaves, leaf)
		} else if n := len(p.Leaves); n > 0 {
			p.Leaves[n-1].Path = append(p.Leaves[n-1].Path, decodeHash(line))
		} else {
			return malformed
		}
	}
	if p.extra() != text {
		return malformed
	}
	return nil
}

func parsePath(lines []string) (path []Hash) {
	for _, line := range lines {
		path = append(path, decodeHash(line))
	}
	return path
}

// Reader verifies answers by a policy. Seen is the newest certificate that it has accepted;
// it should outlive the reader.
type Reader struct {
	Policy *Policy
	Seen   Certificate
}

// Verify returns the round that has the answer for a key, and a time: the answer has every
// round that was certified before. A nil body is the answer that there is none.
func (r *Reader) Verify(key string, body []byte, proof string, now time.Time) (*Round, time.Time, error) {
	p, err := ParseProof(proof)
	if err != nil {
		return nil, time.Time{}, err
	}
	if err := p.check(key, body); err != nil {
		return nil, time.Time{}, err
	}
	head, at, err := r.VerifyCertificate(p.Note, now)
	if err != nil {
		return nil, time.Time{}, err
	}
	// Only the newest round of a certificate has the newest answers.
	leaf, _ := merkle.LeafHash(nil, []byte(p.Round.String()))
	root, ok := merkle.RootFrom(leaf, head.Size-1, head.Size, p.Path)
	if !ok || root != head.Root || p.Round.Number != head.Size {
		return nil, time.Time{}, fmt.Errorf("round %d is not the newest of the certificate: %w",
			p.Round.Number, ErrAnswer)
	}
	return &p.Round, at, nil
}

// check compares the answer with what the leaves prove of the round.
func (p *Proof) check(key string, body []byte) error {
	for _, leaf := range p.Leaves {
		if !leaf.in(p.Round.Answers, p.Round.AnswersRoot) {
			return fmt.Errorf("%q is not in round %d: %w", leaf.Key, p.Round.Number, ErrAnswer)
		}
	}
	empty := p.Round.Answers == 0 && p.Round.AnswersRoot != merkle.Empty()
	switch {
	case body == nil && !empty && provesAbsence(key, p.Leaves, p.Round.Answers):
		return nil
	case body != nil && len(p.Leaves) == 1 && p.Leaves[0].Key == key && p.Leaves[0].Body == sha256.Sum256(body):
		return nil
	}
	return fmt.Errorf("%q: %w", key, ErrAnswer)
}

// VerifyCertificate returns the head of a certificate, if the reader may accept it, and its
// time: the earliest of the best times that make a quorum.
func (r *Reader) VerifyCertificate(signed []byte, now time.Time) (Head, time.Time, error) {
	head, at, err := r.open(signed)
	switch {
	case err != nil:
		return Head{}, time.Time{}, err
	case head.Size == r.Seen.Size && head.Root != r.Seen.Root:
		return Head{}, time.Time{}, &ForkError{r.Seen.Note, signed}
	case head.Size < r.Seen.Size:
		return Head{}, time.Time{}, fmt.Errorf("round %d after %d: %w", head.Size, r.Seen.Size, ErrOlder)
	case now.After(r.Policy.Until):
		return Head{}, time.Time{}, fmt.Errorf("%w: %s", ErrExpired, r.Policy.Until.UTC().Format(time.RFC3339))
	case now.Sub(at) > MaxAge:
		return Head{}, time.Time{}, fmt.Errorf("%w: of %s", ErrStale, at.UTC().Format(time.RFC3339))
	case at.Sub(now) > MaxAge:
		return Head{}, time.Time{}, fmt.Errorf("%w: of %s", ErrFuture, at.UTC().Format(time.RFC3339))
	}
	r.Seen = Certificate{head, bytes.Clone(signed), at}
	return head, at, nil
}

// open verifies the signatures of a certificate: of the log, and of a quorum.
func (r *Reader) open(signed []byte) (Head, time.Time, error) {
	if len(signed) > maxNoteSize {
		return Head{}, time.Time{}, fmt.Errorf("certificate over %d bytes: %w", maxNoteSize, ErrMalformed)
	}
	opened, err := note.Open(signed, r.Policy.verifiers(cosignatureType, true))
	if err != nil {
		return Head{}, time.Time{}, fmt.Errorf("certificate: %w: %v", ErrSignature, err)
	}
	head, err := parseCheckpoint(r.Policy.Origin(), opened.Text)
	if err != nil {
		return Head{}, time.Time{}, err
	}
	var times []int64
	for _, s := range opened.Sigs {
		if signature, err := base64.StdEncoding.DecodeString(s.Base64); err == nil && s.Name != r.Policy.Origin() {
			times = append(times, int64(binary.BigEndian.Uint64(signature[4:])))
		}
	}
	if quorum := r.Policy.Quorum; len(times) < quorum || len(times) == len(opened.Sigs) {
		return Head{}, time.Time{}, fmt.Errorf("%w: %d of %d", ErrQuorum, len(times), quorum)
	}
	return head, quorumTime(times, r.Policy.Quorum), nil
}

// quorumTime returns the earliest of the best times, in seconds, that make a quorum.
func quorumTime(times []int64, quorum int) time.Time {
	slices.Sort(times)
	return time.Unix(times[len(times)-quorum], 0)
}
