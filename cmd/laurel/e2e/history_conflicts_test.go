package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"
)

func revision(o porcupine.Operation) uint64 { return o.Output.(observation).revision }

// events returns pointers to the events of each object, sorted by revision.
func events(all []porcupine.Operation) map[string][]*porcupine.Operation {
	parts := map[string][]*porcupine.Operation{}
	for i := range all {
		if r := all[i].Input.(request); r.verb != look {
			parts[r.thing] = append(parts[r.thing], &all[i])
		}
	}
	for _, part := range parts {
		slices.SortFunc(part, func(a, b *porcupine.Operation) int { return cmp.Compare(revision(*a), revision(*b)) })
	}
	return parts
}

// conflicts returns, with few operations, which of the suspects are impossible given the
// known operations: they show a state that no event made; or an operation that returned
// before showed a later state; or an operation that was called after made the state that
// they show. It finds something if and only if there is no possible order, as the order
// of an object's states is that of their revisions.
func conflicts(known, suspects []porcupine.Operation) string {
	var output []string
	made := values(known)
	parts := byObject(known)
	for thing, called := range byObject(suspects) {
		returned := slices.Clone(parts[thing])
		slices.SortFunc(returned, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
		slices.SortFunc(called, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		found := 0
		accuse := func(format string, args ...any) {
			if found++; found <= 3 {
				output = append(output, thing+": "+fmt.Sprintf(format, args...))
			}
		}
		var last porcupine.Operation // of those that have returned, the one with the latest state
		i := 0
		for _, o := range called {
			for ; i < len(returned) && returned[i].Return < o.Call; i++ {
				if last.Output == nil || revision(returned[i]) > revision(last) {
					last = returned[i]
				}
			}
			if last.Output != nil && (revision(o) < revision(last) || revision(o) == revision(last) &&
				o.Input.(request).verb != look) {
				accuse("first %s\n  then %s", moment(last), moment(o))
			}
			if o.Input.(request).verb != look {
				continue
			}
			e, there := made[thing][revision(o)]
			switch {
			case !there:
				accuse("no event made %s", moment(o))
			case o.Return < e.call:
				accuse("%s, before it was posted at %.6f s", moment(o), float64(e.call)/1e9)
			case o.Output.(observation).value != e.value && o.Output.(observation).value != unseen:
				accuse("%d is what the events make; %s", e.value, moment(o))
			}
		}
		if found > 3 {
			output = append(output, fmt.Sprintf("%s: %d contradictions in all", thing, found))
		}
	}
	slices.Sort(output)
	return strings.Join(output, "\n")
}

// state is an object after an event.
type state struct {
	value int64
	call  int64 // of the event
}

func values(known []porcupine.Operation) map[string]map[uint64]state {
	made := map[string]map[uint64]state{}
	for thing, all := range events(known) {
		made[thing] = map[uint64]state{}
		value := int64(0)
		for _, o := range all {
			if r := o.Input.(request); r.verb == add {
				value++
			} else {
				value = r.to
			}
			made[thing][revision(*o)] = state{value, o.Call}
		}
	}
	return made
}

func moment(o porcupine.Operation) string {
	back := "never"
	if o.Return != never {
		back = fmt.Sprintf("%.6f s", float64(o.Return)/1e9)
	}
	return fmt.Sprintf("[%.6f s, %s] %s", float64(o.Call)/1e9, back,
		describe(o.Input.(request), o.Output.(observation)))
}

// text returns the whole history, object by object, sorted by call.
func (h *history) text() string {
	var b strings.Builder
	parts := byObject(slices.Concat(h.known, h.aged))
	for _, thing := range slices.Sorted(maps.Keys(parts)) {
		slices.SortFunc(parts[thing], func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
		for _, o := range parts[thing] {
			fmt.Fprintf(&b, "%s %s\n", thing, moment(o))
		}
	}
	return b.String()
}
