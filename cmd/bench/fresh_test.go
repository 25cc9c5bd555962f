package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// told is a probe whose reads come out as the list says, one after another.
func told(list ...look) *probe {
	p := &probe{end: func() {}}
	p.answer = func(context.Context) (look, error) {
		if len(list) == 0 {
			return look{}, errors.New("there is no more")
		}
		l := list[0]
		list, l.at = list[1:], time.Now()
		return l, nil
	}
	return p
}

func TestAFirstReadThatDoesNotShowWhatWasAckedIsStale(t *testing.T) {
	old, shown, no := look{ack: ack{7, 4}, way: "hit"}, look{ack: ack{8, 5}, way: "load"}, look{refused: true}
	for _, c := range []struct {
		name    string
		reads   []look
		stale   bool
		refused int
		way     string
		err     string
	}{
		{"shown", []look{shown}, false, 0, "load", ""},
		{"old twice", []look{old, old, shown}, true, 0, "hit", ""},
		{"refused, then shown", []look{no, no, shown}, false, 2, "load", ""},
		{"refused, then old", []look{no, old, shown}, true, 1, "hit", ""},
		{"never", []look{old}, true, 0, "hit", "there is no more"},
		{"other points at the same revision", []look{{ack: ack{8, 4}}}, false, 0, "", "4 points at the revision 8"},
	} {
		p := told(c.reads...)
		p.run(t.Context())
		if err := p.begin(ack{8, 5}); err != nil {
			t.Fatal(err)
		}
		s := <-p.seen
		p.close()
		if s.stale != c.stale || s.refused != c.refused || s.first.way != c.way || (s.err == nil) != (c.err == "") || s.err != nil && !strings.Contains(s.err.Error(), c.err) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

func TestAnAnswerThatIsNotWhatItSaysIsAnError(t *testing.T) {
	const body = `{"competitors":[{"code":"GAU","result":3},{"code":"ROM","result":2}],"revision":8}`
	good := answer{status: 200, body: []byte(body), revision: 8, cache: []byte("wait"), mode: []byte("push")}
	l, err := lookAt("f1", good, time.Now())
	if err != nil || l.ack != (ack{8, 5}) || l.way != "wait" || l.refused {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := lookAt("f1", answer{status: http.StatusServiceUnavailable}, time.Now()); err != nil || !l.refused {
		t.Errorf("503: %+v, %v", l, err)
	}
	for name, spoil := range map[string]func(*answer){
		"the mode pull": func(a *answer) { a.mode = []byte("pull") }, "status 404": func(a *answer) { a.status = 404 },
		"another revision": func(a *answer) { a.revision = 9 }, "no JSON": func(a *answer) { a.body = a.body[1:] },
	} {
		a := good
		spoil(&a)
		if _, err := lookAt("f1", a, time.Now()); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAStaleReadFromLaurelFailsTheRunAndOneFromEtcdDoesNot(t *testing.T) {
	now := time.Now()
	for system, fails := range map[string]bool{laurelName: true, etcdName: false} {
		row := freshRow{system, 0}
		round, table := newFreshness(), &freshTable{rows: []freshRow{row}, cells: map[freshRow]*freshness{row: newFreshness()}}
		for i := range 1000 {
			s := sighting{first: look{at: now.Add(time.Millisecond), way: "hit"}, visible: now.Add(2 * time.Millisecond), stale: i == 500}
			round.record(now, s)
		}
		table.cells[row].add(round)
		if err := table.verdict(); (err != nil) != fails {
			t.Errorf("%s: %v", system, err)
		}
		if got := table.markdown(); !strings.Contains(got, "| idle | 1,000 | **1** (0.1 %) | 1.00 | 1.00 | 2.01 | 2.01 | 2.01 | hit 1,000 |") {
			t.Error(got)
		}
	}
}

func TestAllRoundsTogetherMakeTheReadsThatWereAskedFor(t *testing.T) {
	b := bench{options: options{rounds: 7, count: 100_000, etcdCount: 3}}
	laurel, etcd := 0, 0
	for round := 1; round <= b.rounds; round++ {
		laurel += b.freshCount(laurelName, round)
		etcd += b.freshCount(etcdName, round)
	}
	if laurel != 100_000 || etcd != 3 {
		t.Errorf("%d and %d", laurel, etcd)
	}
}
