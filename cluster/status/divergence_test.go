package status

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"laurel/fsm"
)

func TestOnlyAContradictionOfTheMajorityOfAllVotersCounts(t *testing.T) {
	at := func(index uint64) (fsm.State, bool) {
		return fsm.State{Applied: index, Revision: index}, index <= 100
	}
	right := func(index uint64) Status { return Status{Applied: index, Revision: index} }
	wrong := func(index uint64) Status { return Status{Applied: index, Revision: index + 1} }
	digest := func(index uint64) Status { return Status{Applied: index, Revision: index, Digest: Digest{1}} }
	for _, c := range []struct {
		what    string
		voters  int // v1 is this member
		reports map[int][]Status
		stops   bool
	}{
		{"nobody reports", 3, nil, false},
		{"all agree", 3, map[int][]Status{2: {right(9)}, 3: {right(8)}}, false},
		{"one of two others has another revision", 3, map[int][]Status{2: {wrong(9)}, 3: {right(9)}}, false},
		{"one of two others is silent", 3, map[int][]Status{2: {wrong(9)}}, false},
		{"both others have another revision", 3, map[int][]Status{2: {wrong(9)}, 3: {wrong(8)}}, true},
		{"both others have another digest", 3, map[int][]Status{2: {digest(9)}, 3: {digest(8)}}, true},
		{"they report entries that are not applied here", 3, map[int][]Status{2: {wrong(200)}, 3: {wrong(200)}}, false},
		{"of the last two reports one can be compared", 3,
			map[int][]Status{2: {wrong(9), wrong(200)}, 3: {wrong(9), wrong(200)}}, true},
		{"the only other voter", 2, map[int][]Status{2: {wrong(9)}}, false},
		{"two of four", 4, map[int][]Status{2: {wrong(9)}, 3: {wrong(9)}, 4: {right(9)}}, false},
		{"three of four", 4, map[int][]Status{2: {wrong(9)}, 3: {wrong(9)}, 4: {wrong(9)}}, true},
		{"two of five", 5, map[int][]Status{2: {wrong(9)}, 3: {wrong(9)}}, false},
		{"a stranger and one voter", 3, map[int][]Status{2: {wrong(9)}, 7: {wrong(9)}}, false},
	} {
		reports := NewReports(func(d time.Duration) time.Duration { return 1000 * d })
		var voters []raft.Server
		id := func(i int) raft.ServerID { return raft.ServerID(fmt.Sprint("v", i)) }
		for i := range c.voters {
			voters = append(voters, raft.Server{ID: id(i + 1), Suffrage: raft.Voter})
		}
		for i, list := range c.reports {
			for _, s := range list {
				s.Member = id(i)
				reports.add(s, 1)
			}
		}
		stopped := false
		d := &DivergenceCheck{
			Source: &Source{Self: "v1"}, Reports: reports, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			Diverged: func(string) { stopped = true },
		}
		d.run(voters, at)
		if stopped != c.stops {
			t.Errorf("%s: it stops %t; want %t", c.what, stopped, c.stops)
		}
	}
}
