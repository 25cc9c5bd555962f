package e2e

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// request is an operation of a client: an event about an object, or a read of it.
type request struct {
	thing string // a contest's id, or the path of a medal row: the object
	verb  verb
	to    int64  // the new value of a set
	event string // id of the event
	after uint64 // the revision of the object's previous event in the timeline
	how   string // the client, and for a read how it was answered
}

type verb byte

const (
	look verb = iota
	add       // one more
	set
)

// observation is the result: the object after the event. The answer to a post has only
// the revision.
type observation struct {
	revision uint64
	value    int64
}

// unseen is the value of an observation that does not show it.
const unseen = math.MinInt64

// never is the return time of an event whose outcome the client does not know.
const never = math.MaxInt64

// scoreboard is the specification of one object: events take effect one after the other
// in the order of the timeline, and a read returns the last state.
var scoreboard = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		return slices.Collect(maps.Values(byObject(all)))
	},
	Init: func() any { return observation{} },
	Step: func(state, input, output any) (bool, any) {
		now, r, out := state.(observation), input.(request), output.(observation)
		switch r.verb {
		case add:
			return r.after == now.revision, observation{out.revision, now.value + 1}
		case set:
			return r.after == now.revision, observation{out.revision, r.to}
		}
		return out.revision == now.revision && (out.value == now.value || out.value == unseen), now
	},
	DescribeOperation: func(input, output any) string { return describe(input.(request), output.(observation)) },
}

func byObject(all []porcupine.Operation) map[string][]porcupine.Operation {
	parts := map[string][]porcupine.Operation{}
	for _, o := range all {
		thing := o.Input.(request).thing
		parts[thing] = append(parts[thing], o)
	}
	return parts
}

func describe(r request, s observation) string {
	switch {
	case r.verb == add:
		return fmt.Sprintf("+1 %s -> revision %d by %s", r.event, s.revision, r.how)
	case r.verb == set:
		return fmt.Sprintf("=%d %s -> revision %d by %s", r.to, r.event, s.revision, r.how)
	case s.value == unseen:
		return fmt.Sprintf("read -> revision %d by %s", s.revision, r.how)
	}
	return fmt.Sprintf("read -> %d at revision %d by %s", s.value, s.revision, r.how)
}

// history is what all clients observed. Times are nanoseconds since it began. It is safe
// for concurrent use.
type history struct {
	began time.Time
	mu    sync.Mutex
	known []porcupine.Operation
	// aged are the reads that were answered with something stale. Their call times are
	// moved back by the age that the answer admitted; the Metadata have the real call
	// times.
	aged   []porcupine.Operation
	open   []porcupine.Operation // events whose outcome no answer gave
	lists  []map[string]uint64   // the revisions that one list showed together
	counts map[string]int        // of answers, by kind
	wrong  []error               // answers that no fault excuses
	posted []int64               // when events were acked
	read   []int64               // when a read was answered
}

func newHistory() *history {
	return &history{began: time.Now(), counts: map[string]int{}}
}

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// few reports whether so little was answered that the history shows nothing.
func (h *history) few() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.posted) < 100 || len(h.read) < 1000
}

func (h *history) count(what string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[what]++
}

func (h *history) addError(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, err)
}

// observed records a read. age is the age that the answer admitted; 0 if it claims to be
// current.
func (h *history) observed(call int64, age time.Duration, r request, s observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := porcupine.Operation{Input: r, Call: max(0, call-int64(age)), Output: s, Return: h.now(), Metadata: call}
	if h.read = append(h.read, o.Return); age > 0 {
		h.aged = append(h.aged, o)
	} else {
		h.known = append(h.known, o)
	}
}

func (h *history) acked(call int64, r request, revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	back := h.now()
	h.known = append(h.known, porcupine.Operation{Input: r, Call: call, Output: observation{revision: revision},
		Return: back})
	h.posted = append(h.posted, back)
}

func (h *history) unknown(call int64, r request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open = append(h.open, porcupine.Operation{Input: r, Call: call, Return: never})
}

// close resolves the unknown outcomes by the final timelines: an event that is not there
// had no effect. It returns the number of events with an effect, and an error if an
// acknowledged event is missing or has another revision.
func (h *history) close(timelines map[string]uint64) (events int, err error) {
	var wrong []error
	expected := maps.Clone(timelines)
	for _, o := range h.known {
		r := o.Input.(request)
		if r.verb == look {
			continue
		}
		events++
		if at, there := timelines[r.event]; !there || at != o.Output.(observation).revision {
			wrong = append(wrong, fmt.Errorf("%s: %s; its timeline has it at revision %d", r.thing,
				describe(r, o.Output.(observation)), at))
		}
		delete(expected, r.event)
	}
	for _, o := range h.open {
		event := o.Input.(request).event
		if at, there := timelines[event]; there {
			events++
			o.Output = observation{revision: at}
			h.known = append(h.known, o)
			delete(expected, event)
		}
	}
	h.open = nil
	h.chain()
	for event := range expected {
		wrong = append(wrong, fmt.Errorf("event %s is in a timeline and was not posted", event))
	}
	return events, errors.Join(wrong...)
}

// chain sets the predecessor of each event.
func (h *history) chain() {
	for _, events := range events(h.known) {
		before := uint64(0)
		for _, o := range events {
			r := o.Input.(request)
			r.after, before = before, o.Output.(observation).revision
			o.Input = r
		}
	}
}

// judging bounds the search for an order. An existing order is found in a moment.
const judging = 2 * time.Minute

// check searches for an order of all operations that the specification allows and the
// clients' clocks do not contradict.
func (h *history) check() error {
	if r := porcupine.CheckOperationsTimeout(scoreboard, h.known, judging); r != porcupine.Ok {
		return fmt.Errorf("the history of %d operations is not linearizable (porcupine: %s):\n%s", len(h.known), r,
			conflicts(h.known, h.known))
	}
	if output := conflicts(h.known, h.aged); output != "" {
		return fmt.Errorf("answers were older than their age:\n%s", output)
	}
	return h.checkLists()
}

// checkLists checks that what a list shows was true at one moment: none of its contests
// changed before the latest one did.
func (h *history) checkLists() error {
	changes := map[string][]uint64{}
	for thing, all := range events(h.known) {
		for _, o := range all {
			changes[thing] = append(changes[thing], revision(*o))
		}
	}
	for _, list := range h.lists {
		youngest := slices.Max(slices.Collect(maps.Values(list)))
		for thing, revision := range list {
			i, _ := slices.BinarySearch(changes[thing], revision+1)
			if i < len(changes[thing]) && changes[thing][i] <= youngest {
				return fmt.Errorf("a list shows %s at revision %d and another contest at %d, but %s had changed at %d: %v", thing, revision, youngest, thing, changes[thing][i], list)
			}
		}
	}
	return nil
}
