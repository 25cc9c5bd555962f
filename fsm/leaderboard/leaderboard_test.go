package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"laurel/score"
	"laurel/score/fold"
	"laurel/score/mark"
	"laurel/score/ranking"
)

// store is a MarkReader over marks in memory. If started is not nil, a read sends to it and
// then waits for proceed.
type store struct {
	marks            []ranking.Mark
	err              error
	started, proceed chan struct{}
}

func (s *store) read(_, _ string, use func(int, iter.Seq2[ranking.Mark, error]) error) error {
	if s.started != nil {
		s.started <- struct{}{}
		<-s.proceed
	}
	if s.err != nil {
		return s.err
	}
	return use(len(s.marks), func(yield func(ranking.Mark, error) bool) {
		for _, m := range s.marks {
			if !yield(m, nil) {
				return
			}
		}
	})
}

func contestOf(id string, revision uint64) *fold.Contest {
	c := fold.NewContest(id)
	c.Definition.Kind, c.Definition.Sort, c.Revision = score.Ranked, "asc", revision
	return c
}

func points(competitor string, n int64) ranking.Mark {
	return ranking.Mark{Competitor: competitor, Value: mark.Points(n)}
}

// load loads the board of a contest and waits until it is built.
func load(t *testing.T, b *Boards, c *fold.Contest) error {
	t.Helper()
	a := b.Load(c, "")
	if a.Err != nil {
		return a.Err
	}
	return a.Build.Wait(context.Background())
}

// order returns the competitors of a board in order, or the error.
func order(b *Boards, contestID string) string {
	a := b.Ask(contestID, &ranking.Query{Limit: 100})
	if a.Err != nil {
		return a.Err.Error()
	}
	var list []string
	for _, row := range a.Page.Rows {
		list = append(list, row.Competitor)
	}
	return fmt.Sprint(a.Revision, " ", strings.Join(list, " "))
}

func wantOrder(t *testing.T, b *Boards, contestID, want string) {
	t.Helper()
	if got := order(b, contestID); got != want {
		t.Errorf("%s is %q; want %q", contestID, got, want)
	}
}

func TestABoardIsBuiltOnceAndThenUpdated(t *testing.T) {
	s := &store{marks: []ranking.Mark{points("A", 2), points("B", 1)}}
	b := New(s.read)
	c := contestOf("G/r", 3)
	wantOrder(t, b, "G/r", ErrNotLoaded.Error())
	if err := load(t, b, c); err != nil {
		t.Fatal(err)
	}
	wantOrder(t, b, "G/r", "3 B A")
	s.err = errors.New("read twice")
	if err := load(t, b, c); err != nil {
		t.Errorf("loading a board that is in memory: %v", err)
	}
	var u Updates
	u.Touch("G/r", false)
	u.SetMark("G/r", "finish", points("C", 0))
	savepoint := u.Savepoint()
	u.SetMark("G/r", "finish", points("D", 0))
	u.Rollback(savepoint)
	u.RemoveMark("G/r", "finish", points("A", 2))
	b.Apply(&u, func(string) (*fold.Contest, bool) { return contestOf("G/r", 4), true })
	wantOrder(t, b, "G/r", "4 C B")
}

// Changes are applied while the marks are read from an earlier state.
func TestABoardIncludesChangesDuringItsBuild(t *testing.T) {
	s := &store{
		marks:   []ranking.Mark{points("A", 1), points("B", 2), points("C", 3)},
		started: make(chan struct{}), proceed: make(chan struct{}),
	}
	b := New(s.read)
	a := b.Load(contestOf("G/r", 3), "")
	<-s.started
	if again := b.Ask("G/r", &ranking.Query{Limit: 1}); again.Build != a.Build {
		t.Errorf("a question during the build got %+v; want the build", again)
	}
	var u Updates
	u.SetMark("G/r", "finish", points("D", 0))
	u.RemoveMark("G/r", "finish", points("B", 2))
	b.Apply(&u, nil)
	close(s.proceed)
	if err := a.Build.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	wantOrder(t, b, "G/r", "3 D A C")
}

func TestABoardIsDroppedWhenItsDefinitionChanges(t *testing.T) {
	b := New((&store{marks: []ranking.Mark{points("A", 1)}}).read)
	descending := contestOf("G/r", 4)
	descending.Definition.Sort = "desc"
	split := contestOf("G/r", 4)
	split.Definition.Splits = []string{"half", "finish"}
	match := contestOf("G/r", 4)
	match.Definition.Kind = score.HeadToHead
	for name, c := range map[string]*fold.Contest{
		"direction": descending, "splits": split, "kind": match, "deleted": nil,
	} {
		if err := load(t, b, contestOf("G/r", 3)); err != nil {
			t.Fatal(err)
		}
		var u Updates
		u.Touch("G/r", true)
		b.Apply(&u, func(string) (*fold.Contest, bool) { return c, true })
		if got := order(b, "G/r"); got != ErrNotLoaded.Error() {
			t.Errorf("%s changed, and the board is still in memory: %s", name, got)
		}
		if n := b.Rows(); n != 0 {
			t.Errorf("%s changed: %d rows are counted", name, n)
		}
	}
}

func TestAFailedOrCancelledBuildCanBeRepeated(t *testing.T) {
	broken := errors.New("disk error")
	s := &store{marks: []ranking.Mark{points("A", 1)}, err: broken}
	b := New(s.read)
	if err := load(t, b, contestOf("G/r", 3)); !errors.Is(err, broken) {
		t.Errorf("the build returned %v", err)
	}
	s.err = nil
	s.started, s.proceed = make(chan struct{}), make(chan struct{})
	a := b.Load(contestOf("G/r", 3), "")
	<-s.started
	closing := errors.New("closing")
	b.Close(closing)
	if err := a.Build.Wait(context.Background()); err != nil {
		t.Errorf("a cancelled build returned %v; want the caller to ask again", err)
	}
	wantOrder(t, b, "G/r", "closing")
	close(s.proceed)
	s.started = nil
	b.Open()
	if err := load(t, b, contestOf("G/r", 3)); err != nil {
		t.Fatal(err)
	}
	wantOrder(t, b, "G/r", "3 A")
}

func TestTheLeastRecentlyUsedBoardIsDropped(t *testing.T) {
	b := New((&store{marks: []ranking.Mark{points("A", 1), points("B", 2)}}).read)
	b.SetMaxRows(2 * (boardCost + 2))
	for _, id := range []string{"G/1", "G/2"} {
		if err := load(t, b, contestOf(id, 1)); err != nil {
			t.Fatal(err)
		}
	}
	wantOrder(t, b, "G/1", "1 A B") // now used more recently than G/2
	if err := load(t, b, contestOf("G/3", 1)); err != nil {
		t.Fatal(err)
	}
	wantOrder(t, b, "G/2", ErrNotLoaded.Error())
	wantOrder(t, b, "G/3", "1 A B")
	b.SetMaxRows(1)
	if p := new(score.Problem); !errors.As(load(t, b, contestOf("G/4", 1)), &p) || p.Code != score.TooLarge {
		t.Errorf("a board over the limit was built: %v", p)
	}
}

func TestAContestThatIsNotRankedHasNoBoard(t *testing.T) {
	c := contestOf("G/m", 7)
	c.Definition.Kind = score.HeadToHead
	a := New((&store{}).read).Load(c, "")
	if p := new(score.Problem); !errors.As(a.Err, &p) || p.Code != score.NotFound || a.Revision != 7 {
		t.Errorf("got %+v", a)
	}
}
