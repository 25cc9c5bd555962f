package fsm

import (
	"errors"
	"runtime"
	"sync"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Every state machine verifies every signature, so that a master that forges or alters an
// event finds no frontend that shows it. Whether a signature is valid depends only on the
// event and the public key, and an entry that contains events does not change access
// control. All signatures of an entry are therefore verified before it is applied, on all
// processors.

// minParallel is the number of signatures per goroutine below which more goroutines do
// not help.
const minParallel = 16

// checkSignatures verifies the signatures of an entry's events, except those by keys that
// may not post.
func (m *Machine) checkSignatures(access *access.State, posts [][]event) {
	type signed struct {
		event  *event
		public []byte
	}
	var list []signed
	for _, events := range posts {
		for i := range events {
			e := &events[i]
			if e.Key == "" {
				continue
			}
			if g := access.Grants[e.Key]; g != nil && len(g.Public) > 0 {
				list = append(list, signed{e, g.Public})
			}
		}
	}
	check := func(list []signed) {
		scratch := make([]byte, 0, 1024)
		for _, s := range list {
			s.event.signatureProblem, scratch = m.checkSignature(s.event, s.public, scratch)
			s.event.checked = true
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(list)/minParallel)
	if workers < 2 {
		check(list)
		return
	}
	var all sync.WaitGroup
	for i := range workers {
		// Adjacent events are mostly signed in the same tree, so each worker gets a
		// contiguous part.
		part := list[i*len(list)/workers : (i+1)*len(list)/workers]
		all.Go(func() { check(part) })
	}
	all.Wait()
}

// checkSignature verifies that an event's signature was made with the key over the form
// that the timeline would show. It uses scratch and returns it for reuse.
func (m *Machine) checkSignature(e *event, public, scratch []byte) (*score.Problem, []byte) {
	if p := e.ParseData(); p != nil {
		return signing.Unsignable(&e.Event.Event, p), scratch
	}
	form, err := e.AppendSignedForm(scratch[:0])
	switch {
	case err != nil:
		return signing.Unsignable(&e.Event.Event, err), scratch
	case !m.verifier.Verify(public, form, e.Signature):
		return signing.WrongSignature(&e.Event.Event, form), form
	}
	return nil, form
}

var errNotVerified = errors.New("the signature was not verified")

// authorize returns the problem if access control does not allow the event now.
func (b *batch) authorize(e *event) *score.Problem {
	if e.Key == "" {
		return b.access.Authorize(&e.Event.Event, nil)
	}
	// The signature identifies the sender. A token that a frontend adds to it cannot be
	// checked.
	e.Token = ""
	return b.access.Authorize(&e.Event.Event, func(*access.Grant) *score.Problem {
		if !e.checked {
			return signing.Unsignable(&e.Event.Event, errNotVerified)
		}
		return e.signatureProblem
	})
}
