package witness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Digest is the SHA-256 of the whole state of a frontend as it was at the seal of a round.
// Equal histories give equal states, and so equal digests if these are of the same format.
// If they are not, a record has changed in one of the states that no answer shows.
type Digest struct {
	Head   Head   // with the round
	Format uint64 // of the state
	Sum    Hash
}

// digestPrefix makes a digest another text than a report or a checkpoint.
const digestPrefix = "laurel digest 1\n"

// text returns what is signed.
func (d Digest) text(origin string) string {
	return fmt.Sprintf("%s%s%d %s\n", digestPrefix, d.Head.checkpoint(origin), d.Format, encodeHash(d.Sum))
}

// parseDigest takes only what text writes.
func parseDigest(origin, text string) (d Digest, err error) {
	lines := strings.SplitAfter(strings.TrimPrefix(text, digestPrefix), "\n")
	if len(lines) != 5 {
		return Digest{}, fmt.Errorf("digest: %w", ErrMalformed)
	}
	if d.Head, err = parseCheckpoint(origin, strings.Join(lines[:3], "")); err != nil {
		return Digest{}, err
	}
	format, sum, _ := strings.Cut(strings.TrimSuffix(lines[3], "\n"), " ")
	d.Format, err = parseNumber("", "", format)
	if d.Sum = decodeHash(sum); err != nil || d.text(origin) != text {
		return Digest{}, fmt.Errorf("digest of round %d: %w", d.Head.Size, ErrMalformed)
	}
	return d, nil
}

// Digested takes in the digest of the own state. It binds the key to nothing: a frontend
// whose state was damaged has another one when it has gone back.
func (n *Node) Digested(d Digest, now time.Time) Output {
	signed, err := n.key.Sign(d.text(n.policy.Origin()))
	if err == nil && !n.forgot {
		n.self.digest, n.digest, n.news = d, signed, true
		n.compare(d)
	}
	return n.advance(now)
}

// Altered returns the round at which this frontend had another state than a quorum with the
// same history; 0 for none. Everything that its state is made of is in doubt then.
func (n *Node) Altered() (round uint64) { return n.self.altered }

// Compared returns the newest round of which a quorum has reported the same digest.
func (n *Node) Compared() (round uint64) { return n.intact.Head.Size }

// receiveDigest takes in the digest of another frontend. Only the newest of each is kept. Its
// own old ones, which anybody can repeat, say nothing about the present state.
func (n *Node) receiveDigest(signed []byte) error {
	if len(signed) > maxNoteSize {
		return fmt.Errorf("note over %d bytes: %w", maxNoteSize, ErrMalformed)
	}
	text, _, _ := strings.Cut(string(signed), "\n\n")
	d, err := parseDigest(n.policy.Origin(), text+"\n")
	if err != nil {
		return err
	}
	opened, err := note.Open(signed, n.policy.verifiers(ed25519Type, false))
	if err != nil || opened.Text != text+"\n" {
		return fmt.Errorf("digest of round %d: %w: %v", d.Head.Size, ErrSignature, err)
	}
	for _, s := range n.seats {
		said := slices.ContainsFunc(opened.Sigs, func(by note.Signature) bool { return by.Name == s.Name })
		if said && s != n.self && d.Head.Size > s.digest.Head.Size {
			s.digest = d
			n.compare(d)
		}
	}
	return nil
}

// compare compares the digests of all frontends with the newest one of a quorum, which may
// be d.
func (n *Node) compare(d Digest) {
	votes := 0
	for _, s := range n.seats {
		if s.digest == d {
			votes++
		}
	}
	if votes >= n.policy.Quorum && d.Head.Size > n.intact.Head.Size {
		n.intact = d
	}
	for _, s := range n.seats {
		switch {
		case s.digest.Head != n.intact.Head || s.digest.Format != n.intact.Format:
		case s.digest.Sum != n.intact.Sum:
			s.altered = s.digest.Head.Size
		default:
			s.altered = 0
		}
	}
}
