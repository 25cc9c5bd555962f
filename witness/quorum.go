package witness

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	// SealInterval is the longest time from an entry to the seal of its round (S).
	SealInterval = 500 * time.Millisecond
	// maxWaiting is how long an entry may be in no cosigned round before times stop.
	maxWaiting = 2 * SealInterval
	// splitTime is how long no quorum could agree before a history is left because of it. A
	// master without a certificate has sealed twice meanwhile, and an interval ago, so that all
	// have reported the same round when they leave.
	splitTime = 2*maxWaiting + SealInterval
	// aloneTime is how long a frontend has another history than two others of four before it
	// leaves it: those that have left theirs start again meanwhile, and come to a quorum.
	aloneTime = 10 * maxWaiting
	// renewAfter is the age at which a cosignature gets a new time. Times are in seconds.
	renewAfter = time.Second
	// maxAhead is how far a report may be ahead of what is proven and of others.
	maxAhead = 4
	// maxRounds is the number of own rounds that are kept from the newest proven one on.
	maxRounds = 8192
)

// Node is one frontend's part in certificates. Its methods are called by one goroutine at a
// time. What each returns must be saved before it is sent, and before the next call.
type Node struct {
	key    *Key
	policy *Policy
	seats  []*seat // in the order of the policy
	self   *seat
	state  state

	rounds   []ownRound      // without gaps, from the newest one cosigned on
	unsealed time.Time       // when the oldest entry that is in no round was applied, or zero
	top      Head            // the newest round that is known to be proven
	agreed   Head            // the newest one of those that the own history has
	holds    bool            // the own history has the last round cosigned here, if there is one
	proven   map[uint64]Hash // the roots, by size
	split    uint64          // a size at which no quorum can or does agree
	doubted  uint64          // the first such size since a quorum has agreed, which may be in time; 0 for none
	leaving  bool            // the own history must be left
	// othersHave tells that a quorum of others has the history for which it must.
	othersHave bool
	intact     Digest // the newest one that a quorum has reported
	digest     []byte // the note with the own one; nil if there is none yet
	forgot     bool   // this key has signed more than the state knows of

	reportedAt, cosignedAt time.Time
	proof                  []byte // the note that shows that top is proven, for others
	progress               Head   // the last top that was seen
	progressAt             time.Time
	doubtedAt              time.Time
	aloneAt                time.Time // since when others have another history; zero if they have not
	certificate            Certificate
	logSignature           note.Signature // of the certificate's head
	unsaved, news          bool
}

type ownRound struct {
	Head
	since time.Time // when its oldest entry was applied
}

// Output is what the caller does after a call: first it saves Save, then it sends Send to
// all other frontends, and it calls Tick again at Wake. If Save cannot be made durable, Send
// must not be sent and the node must not be used any more.
type Output struct {
	Save []byte   // nil if nothing changed
	Send [][]byte // signed notes; nil if there is nothing new
	Wake time.Time
}

// Certificate is a checkpoint that a quorum has cosigned. The zero value is none.
type Certificate struct {
	Head
	Note []byte
	At   time.Time // the earliest of the best times that make a quorum
}

// NewNode returns the node of a key. saved is the last Save of this key's nodes; it is nil
// only for a key that has never signed anything. A key whose state is lost must be replaced:
// its frontend could sign the contrary of what it signed before.
func NewNode(key *Key, policy *Policy, saved []byte) (*Node, error) {
	if err := policy.check(); err != nil {
		return nil, err
	}
	n := &Node{key: key, policy: policy, proven: map[uint64]Hash{}}
	for _, f := range policy.Frontends {
		s := newSeat(f)
		n.seats = append(n.seats, s)
		if f.Name == key.name && f.Public.Equal(key.Frontend().Public) {
			n.self = s
		}
	}
	if n.self == nil {
		return nil, fmt.Errorf("the policy does not name the key %s", key.Verifier())
	}
	if saved != nil {
		var err error
		if n.state, err = parseState(key, string(saved)); err != nil {
			return nil, err
		}
	}
	if n.top = n.state.cosigned; n.top.Size > 0 {
		n.proven[n.top.Size] = n.top.Root
	}
	if kind, h, by, err := openStatement(policy, []byte(n.state.proof), nil); err == nil {
		for _, s := range n.seats {
			if signature, ok := by[s.Name]; ok {
				s.take(policy.Origin(), kind, h, signature)
			}
		}
		n.proof = []byte(n.state.proof)
	}
	if n.state.reported.Size > 0 {
		n.say(ed25519Type, n.state.reported, time.Time{})
	}
	return n, nil
}

// Sealed takes in the own round at the newest seal. since is when its oldest entry was
// applied. After a start the rounds are given from that of [Node.Needs] on, as far as the
// store has them. A round that does not follow the one before, after a snapshot, starts
// anew.
func (n *Node) Sealed(h Head, since, now time.Time) Output {
	if len(n.rounds) > 0 && h.Size != n.newest().Size+1 {
		n.rounds, n.agreed, n.holds = nil, Head{}, false
	}
	n.rounds = append(n.rounds, ownRound{h, since})
	return n.advance(now)
}

// Unsealed tells when the oldest applied entry was applied that is in no round given to
// Sealed. It is the zero time if all are.
func (n *Node) Unsealed(since time.Time) { n.unsealed = since }

// Tick lets time pass.
func (n *Node) Tick(now time.Time) Output { return n.advance(now) }

// Receive takes in the notes of another frontend. An error says that some were malformed or
// not signed as they should be; all others have been taken in.
func (n *Node) Receive(notes [][]byte, now time.Time) (Output, error) {
	var failed error
	if len(notes) > maxNotes {
		notes, failed = nil, fmt.Errorf("over %d notes: %w", maxNotes, ErrMalformed)
	}
	for _, signed := range notes {
		if bytes.HasPrefix(signed, []byte(digestPrefix)) {
			failed = cmp.Or(n.receiveDigest(signed), failed)
			continue
		}
		kind, h, by, err := openStatement(n.policy, signed, n.seats)
		if err != nil {
			failed = err
			continue
		}
		news := false
		for _, s := range n.seats {
			if signature, ok := by[s.Name]; ok {
				news = s.take(n.policy.Origin(), kind, h, signature) || news
			}
		}
		if news {
			n.count(kind, h)
		}
	}
	n.forgot = n.forgot || n.self.newest.Size > n.state.reported.Size || n.self.evidence != nil ||
		newestOf(n.self.cosigned).Size > n.state.cosigned.Size
	return n.advance(now), failed
}

// Notes returns everything that another frontend should know of the newest rounds. It is
// sent again from time to time, because messages are lost.
func (n *Node) Notes() [][]byte {
	reports := map[Head]bool{}
	cosigned := map[Head]bool{n.certificate.Head: true}
	var notes [][]byte
	for _, proof := range []string{string(n.proof), n.state.proof} {
		if proof != "" {
			notes = append(notes, []byte(proof))
		}
	}
	if n.digest != nil {
		notes = append(notes, n.digest)
	}
	for _, s := range n.seats {
		reports[s.newest] = true
		cosigned[newestOf(s.cosigned)] = true
		notes = append(notes, s.evidence...)
	}
	for kind, heads := range map[byte]map[Head]bool{ed25519Type: reports, cosignatureType: cosigned} {
		for h := range heads {
			if signed := formNote(n.policy.Origin(), kind, h, n.seats); h.Size > 0 && signed != nil {
				notes = append(notes, signed)
			}
		}
	}
	slices.SortFunc(notes, slices.Compare)
	return slices.CompactFunc(notes, slices.Equal)
}

// Certificate returns the newest certificate that is known.
func (n *Node) Certificate() Certificate { return n.certificate }

// WantsSeal reports whether a master should seal although nothing has changed. Sizes that were
// reported in a history that was left cannot be reported again: at once if the newest own
// round is such a one, and if it has waited for a certificate for long.
func (n *Node) WantsSeal(now time.Time) bool {
	if len(n.rounds) == 0 {
		return false
	}
	newest := n.newest()
	return newest.Size < max(n.state.reported.Size, n.others()) ||
		newest.Size > n.certificate.Size && now.Sub(newest.since) >= maxWaiting
}

// Needs returns the number of the oldest round that the node may ask the own history for.
func (n *Node) Needs() uint64 { return max(n.state.cosigned.Size, 1) }

// Agrees reports whether the own history has the newest round that a quorum is known to
// have reported. A frontend that has started, or whose state came from elsewhere, shows no
// proofs before.
func (n *Node) Agrees() bool { return n.agreed == n.top && !n.leaving }

func (n *Node) newest() ownRound { return n.rounds[len(n.rounds)-1] }

// own returns the head of the own history at a size, if it is kept.
func (n *Node) own(size uint64) (Head, bool) {
	if len(n.rounds) == 0 || size < n.rounds[0].Size || size > n.newest().Size {
		return Head{}, false
	}
	return n.rounds[size-n.rounds[0].Size].Head, true
}

// count notes that h is proven if a quorum has reported it. A certificate proves it too:
// some honest frontend that cosigned it had the reports.
func (n *Node) count(kind byte, h Head) {
	votes := 0
	for _, s := range n.seats {
		if _, ok := s.said(kind)[h]; ok {
			votes++
		}
	}
	if root, known := n.proven[h.Size]; known {
		n.judge(Head{h.Size, root})
	} else if votes >= n.policy.Quorum {
		n.proven[h.Size] = h.Root
		n.missing(h)
		n.judge(h)
	}
	if votes < n.policy.Quorum {
		return
	}
	if h.Size > n.top.Size {
		n.top, n.proof = h, formNote(n.policy.Origin(), kind, h, n.seats)
	}
	for len(n.proven) > maxStatements {
		delete(n.proven, slices.Min(slices.Collect(maps.Keys(n.proven))))
	}
	if kind == cosignatureType && h.Size >= n.certificate.Size {
		n.certify(h)
	}
}

// certify makes the certificate of a head that a quorum has cosigned. The log's signature,
// which a tlog-policy asks for, is this frontend's: nothing depends on it.
func (n *Node) certify(h Head) {
	text := h.checkpoint(n.policy.Origin())
	if h != n.certificate.Head {
		log := identity{n.policy.Origin(), ed25519Type, n.self.Public}
		signature, _ := signer{log, n.key, 0}.Sign([]byte(text))
		n.logSignature = noteSignature(log, signature)
	}
	all := note.Note{Text: text, Sigs: []note.Signature{n.logSignature}}
	var times []int64
	for _, s := range n.seats {
		if signature, ok := s.cosigned[h]; ok {
			all.Sigs = append(all.Sigs, noteSignature(s.identity(cosignatureType), signature))
			times = append(times, int64(binary.BigEndian.Uint64(signature)))
		}
	}
	if signed, err := note.Sign(&all); err == nil {
		n.certificate = Certificate{h, signed, quorumTime(times, n.policy.Quorum)}
	}
}

// advance does what the rules allow now.
func (n *Node) advance(now time.Time) Output {
	if n.top != n.progress {
		n.progress, n.progressAt = n.top, now
	}
	n.lookAtHistory(now)
	for n.mayCosign() || n.mayReport(now) {
		if n.mayCosign() { // before the next report, which would forbid it
			n.state.cosigned, n.state.proof = n.state.reported, string(n.proof)
			n.say(cosignatureType, n.state.cosigned, now)
		} else {
			n.state.reported, _ = n.own(n.toReport(now))
			n.say(ed25519Type, n.state.reported, now)
			if n.isBehind() {
				n.doubtedAt = now
			}
		}
		n.unsaved = true
		n.lookAtHistory(now)
	}
	if n.mayRenew(now) {
		n.say(cosignatureType, n.state.cosigned, now)
	}
	out := Output{Wake: n.wake(now)}
	if n.unsaved {
		out.Save = []byte(n.state.text(n.key))
	}
	if n.news {
		out.Send = n.Notes()
	}
	n.unsaved, n.news = false, false
	return out
}

// lookAtHistory compares the own history with what has become known, and forgets the rounds
// that no rule asks for any more.
func (n *Node) lookAtHistory(now time.Time) {
	for size, root := range n.proven {
		if own, ok := n.own(size); ok && size > n.agreed.Size && own.Root == root {
			n.agreed = own
		}
	}
	if own, ok := n.own(n.top.Size); ok && own != n.top && n.top.Size > n.state.left {
		n.leave(n.top.Size)
		_, reported := n.self.reports[n.top]
		n.othersHave = !reported || n.state.cosigned.Size == 0 || n.top == n.state.cosigned
	}
	if own, ok := n.own(n.state.cosigned.Size); ok || n.state.cosigned.Size == 0 {
		n.holds = own == n.state.cosigned
	}
	n.lookForSplit(now)
	n.lookForOthers(now)
	for len(n.rounds) > 1 && (n.rounds[1].Size <= n.state.cosigned.Size || len(n.rounds) > maxRounds) {
		n.rounds = n.rounds[1:]
	}
}

// say signs a statement of this frontend, which goes out with the next output. The time of
// a cosignature is rule R6 too: what was applied after the round must not have waited for
// long at that time.
func (n *Node) say(kind byte, h Head, now time.Time) {
	at := now
	if kind == cosignatureType {
		n.cosignedAt = now
		if oldest := n.oldestWaiting(); !oldest.IsZero() && now.Sub(oldest) > maxWaiting {
			at = oldest.Add(maxWaiting)
		}
	} else {
		n.reportedAt = now
	}
	by := signer{n.self.identity(kind), n.key, uint64(max(at.Unix(), 0))}
	signature, _ := by.Sign([]byte(h.text(n.policy.Origin(), kind)))
	n.self.take(n.policy.Origin(), kind, h, signature)
	n.count(kind, h)
	n.news = true
}
