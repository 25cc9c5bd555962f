package fsm

import (
	"bytes"
	"errors"
	"runtime"
	"sync"

	"laurel/score"
	"laurel/trust/access"
	"laurel/trust/signing"
)

// Every state machine looks at every signature: a master that makes up an event, or alters one, finds no frontend that shows it. What a
// signature is worth depends on the event and the public key alone, and no entry changes who may do what between its own events. So all of
// an entry's are looked at before it is applied, on as many processors as there are.

// checked is what came of looking at an event's signature.
type checked struct{ problem *score.Problem }

// fewSignatures are checked sooner by one goroutine than by several.
const fewSignatures = 16

// checkSignatures looks at the signatures of an entry's events, but for those by keys that nobody may post with.
func (m *Machine) checkSignatures(access *access.State, posts []post) {
	type signed struct {
		event  *event
		public []byte
	}
	var list []signed
	for i := range posts {
		for j := range posts[i].events {
			e := &posts[i].events[j]
			if e.Key == "" {
				continue
			}
			if g := access.Grants[e.Key]; g != nil && len(g.Public) > 0 {
				list = append(list, signed{e, g.Public})
			}
		}
	}
	check := func(list []signed) {
		scratch, came := make([]byte, 0, 1024), make([]checked, len(list))
		for i, s := range list {
			came[i], scratch = m.check(s.event, s.public, scratch)
			s.event.checked = &came[i]
		}
	}
	workers := min(runtime.GOMAXPROCS(0), len(list)/fewSignatures)
	if workers < 2 {
		check(list)
		return
	}
	var all sync.WaitGroup
	for i := range workers {
		// Neighbours have their signature in common, mostly.
		part := list[i*len(list)/workers : (i+1)*len(list)/workers]
		all.Go(func() { check(part) })
	}
	all.Wait()
}

// check tells whether an event's signature is of the key, over what the timeline would show. It uses scratch, and gives it back.
func (m *Machine) check(e *event, public, scratch []byte) (checked, []byte) {
	if p := e.read(); p != nil {
		return checked{signing.Unsignable(&e.Event, p)}, scratch
	}
	form, err := appendSignedForm(scratch[:0], e)
	switch {
	case err != nil:
		return checked{signing.Unsignable(&e.Event, err)}, scratch
	case !m.verifier.Verify(public, form, e.Signature):
		return checked{signing.WrongSignature(&e.Event, form)}, form
	}
	return checked{}, form
}

var errOtherWords = errors.New("its data is not written as Laurel writes it")

// appendSignedForm appends what the event's signature must be over. Its data must be as Laurel writes it: the form puts members in order, so that a corrupt
// master could have the same said in another order, which would be another event to whoever repeats it.
func appendSignedForm(b []byte, e *event) ([]byte, error) {
	data, err := score.AppendData(b, e.Data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(data[len(b):], e.data) {
		return nil, errOtherWords
	}
	return signing.AppendForm(data[:len(b)], &e.Event)
}

// authorize says why an event may not be applied now; nil: it may.
func (b *batch) authorize(e *event) (refused *score.Problem) {
	if e.Key == "" {
		return b.access.Authorize(&e.Event, nil)
	}
	e.Token = "" // the signature says who it is, and what a frontend says besides nobody can check
	return b.access.Authorize(&e.Event, func(*access.Grant) *score.Problem { return e.checked.problem })
}
