package fsm

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"runtime"
	"sync"

	"laurel/fsm/database"
	"laurel/fsm/entry"
	"laurel/fsm/rounds"
	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// change applies a change of the access control or of a setting.
func (b *batch) change(c *access.Change, format uint64) score.Result {
	next, what, p := b.access.Apply(c, format)
	return b.changed(c, next, what, p)
}

// signedChange applies a change that an operator has signed.
func (b *batch) signedChange(c *access.SignedChange, format uint64) score.Result {
	next, what, p := b.access.ApplySigned(c, format)
	return b.changed(&c.Change, next, what, p)
}

// changed stores the state after a change, unless that is nil.
func (b *batch) changed(c *access.Change, next *access.State, what string, p *score.Problem) score.Result {
	if next == nil {
		return score.Result{Problem: p}
	}
	b.access, b.accessChanged = next, true
	b.answerChanged(rounds.Keys, "")
	b.answerChanged(rounds.Roster, "")
	if what != "" {
		b.audit(access.AuditEntry{At: c.At, By: c.By, What: what})
	}
	if p != nil {
		return score.Result{Problem: p}
	}
	return score.Result{Status: score.Applied}
}

// audit appends a line to the audit trail, which has at most access.MaxAudit.
func (b *batch) audit(line access.AuditEntry) {
	line.Number = 1
	if last, _ := b.tx.Bucket(database.Audit).Cursor().Last(); len(last) == 8 {
		line.Number = binary.BigEndian.Uint64(last) + 1
	}
	if line.Number > access.MaxAudit {
		b.tx.Delete(database.Audit, binary.BigEndian.AppendUint64(nil, line.Number-access.MaxAudit))
	}
	b.tx.PutJSON(database.Audit, binary.BigEndian.AppendUint64(nil, line.Number), &line)
}

// Expect takes in a post that this frontend is about to enter into the log. Own.Forget ends that.
func (m *Machine) Expect(p entry.EncodedPost) *entry.Own { return m.expected.Add(p) }

// minParallel is the number of signatures per goroutine below which more goroutines do
// not help.
const minParallel = 16

// verifySignatures verifies the signatures of an entry's events, except those by unknown
// keys. Every state machine verifies every signature, so that a master that forges or
// alters an event finds no frontend that shows it. Only what this frontend itself has verified
// is not verified again; see entry.Own. Since an entry with events does not change access
// control, its signatures are verified before it is applied, on all processors. An entry does
// not name the store for which its events were signed: that must be this one.
func (m *Machine) verifySignatures(access *access.State, posts []entry.Post) {
	var signed []*entry.Event
	for i := range posts {
		p := &posts[i]
		p.Own = m.expected.Find(p)
		isExpected := p.Own.Verified(access)
		for i := range p.Events {
			if e := &p.Events[i]; e.Key != "" {
				e.Expected, e.Lineage = isExpected, access.Settings.Lineage
				signed = append(signed, e)
			}
		}
	}
	verify := func(list []*entry.Event) {
		scratch := make([]byte, 0, 1024)
		for _, e := range list {
			if e.Expected {
				e.Verified = e.IsSignable() // which asks for nothing that was not encoded here
			} else if g := access.Grants[e.Key]; g != nil && len(g.Public) > 0 {
				var p *score.Problem
				p, scratch = m.checkSignature(e, g.Public, scratch)
				e.Verified = p == nil
			}
		}
	}
	// A goroutine gets whole trees, and as many adjacent ones as possible, so that no tree is
	// checked twice.
	part := max(minParallel, (len(signed)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var all sync.WaitGroup
	for len(signed) > part {
		n := part
		for n < len(signed) && inOneTree(signed[n-1], signed[n]) {
			n++
		}
		list := signed[:n]
		all.Go(func() { verify(list) })
		signed = signed[n:]
	}
	verify(signed)
	all.Wait()
}

// inOneTree reports whether two signatures are of one tree, if they are valid.
func inOneTree(a, b *entry.Event) bool {
	const n = ed25519.SignatureSize
	return len(a.Signature) >= n && len(b.Signature) >= n && bytes.Equal(a.Signature[:n], b.Signature[:n])
}

// checkSignature verifies that an event's signature was made with the key over the form
// that the timeline would show. It uses scratch and returns it for reuse.
func (m *Machine) checkSignature(e *entry.Event, public, scratch []byte) (*score.Problem, []byte) {
	form, err := e.AppendSignedForm(scratch[:0])
	if err != nil {
		return signing.Unsignable(&e.Event, err), scratch
	}
	if !m.verifier.Verify(public, e.Lineage, form, e.Signature) {
		return signing.WrongSignature(&e.Event, form), form
	}
	return nil, form
}

// authorize returns the problem if access control does not allow the event now.
func (b *batch) authorize(e *entry.Event) *score.Problem {
	if e.Key != "" {
		// The signature identifies the sender. A token that a frontend adds to it cannot
		// be checked.
		e.Token = ""
	}
	return b.access.Authorize(&e.Event, func(g *access.Grant) (p *score.Problem) {
		if !e.Verified { // again, for the problem
			p, _ = b.m.checkSignature(e, g.Public, nil)
		}
		return p
	})
}
