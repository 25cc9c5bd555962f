package standing

import (
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"laurel/witness"
)

// court is a keeper of the frontend f1 of four, whose keys the test changes.
type court struct {
	t       *testing.T
	dir     string
	keeper  *Keeper
	now     time.Time
	keys    map[string][]byte
	master  string
	changed int
}

func newCourt(t *testing.T) *court {
	c := &court{t: t, dir: t.TempDir(), now: time.Unix(1_800_000_000, 0), keys: map[string][]byte{}}
	for _, name := range []string{"f1", "f2", "f3", "f4"} {
		c.keys[name] = []byte("key of " + name)
	}
	c.restart()
	return c
}

func (c *court) restart() {
	c.keeper = Open(Config{
		Dir: c.dir, Logger: slog.New(slog.DiscardHandler), Changed: func() { c.changed++ },
		PutOut: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "put_out"}, []string{"member", "reason"}),
	})
}

// weigh weighs verdicts, which stand from now on.
func (c *court) weigh(verdicts ...witness.Verdict) {
	c.keeper.Weigh(Bench{
		Self: "f1", Now: c.now, Verdicts: verdicts, Key: func(name string) []byte { return c.keys[name] },
		Master: func(uint64) string { return c.master },
	})
}

// expect checks who is shunned and who is distrusted alone.
func (c *court) expect(what string, shunned, distrusted []string) {
	c.t.Helper()
	var gotShunned, gotDistrusted []string
	for _, name := range []string{"f1", "f2", "f3", "f4"} {
		switch {
		case c.keeper.Shuns(name) != nil && c.keeper.Distrusts(name) != nil:
			gotShunned = append(gotShunned, name)
		case c.keeper.Shuns(name) != nil:
			c.t.Errorf("%s: %s is shunned and not distrusted", what, name)
		case c.keeper.Distrusts(name) != nil:
			gotDistrusted = append(gotDistrusted, name)
		}
	}
	if !slices.Equal(gotShunned, shunned) || !slices.Equal(gotDistrusted, distrusted) {
		c.t.Errorf("%s: %q are shunned and %q distrusted; want %q and %q", what, gotShunned, gotDistrusted,
			shunned, distrusted)
	}
}

func diverged(name string) witness.Verdict {
	return witness.Verdict{Frontend: name, Fault: witness.Diverged, Size: 7}
}

func TestADivergedFrontendIsDistrustedUntilItReportsWhatTheOthersDo(t *testing.T) {
	c := newCourt(t)
	c.weigh(diverged("f2"), diverged("f1"), diverged("f9"), witness.Verdict{Frontend: "f3", Fault: witness.Silent})
	c.expect("two have diverged", nil, []string{"f2"})
	since := c.now
	c.now = c.now.Add(time.Minute)
	c.weigh(diverged("f2"))
	if s := c.keeper.Of("f2"); !s.Since.Equal(since) || c.changed != 1 {
		t.Errorf("it is put out since %v, and %d things have changed", s.Since, c.changed)
	}
	c.restart()
	c.expect("a restart, after which notes tell of it again", nil, nil)
	c.weigh(diverged("f2"))
	c.weigh()
	c.expect("it has come back", nil, nil)
	if c.changed != 3 {
		t.Errorf("%d things have changed", c.changed)
	}
}

// contradiction returns a policy, and what f2 has signed in two histories.
func contradiction(t *testing.T) (*witness.Policy, [][]byte) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := witness.NewKey("f2", private)
	if err != nil {
		t.Fatal(err)
	}
	p := &witness.Policy{
		Store: "store", Version: 1, Until: time.Unix(1_900_000_000, 0), Quorum: 1,
		Frontends: []witness.Frontend{key.Frontend()},
	}
	var notes [][]byte
	for root := range byte(2) {
		n, err := witness.NewNode(key, p, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := n.Sealed(witness.Head{Size: 1, Root: witness.Hash{root}}, time.Unix(1, 0), time.Unix(1, 0))
		notes = append(notes, out.Send[0])
	}
	return p, notes
}

func TestAConvictedFrontendIsShunnedWithEvidenceAnybodyCanCheck(t *testing.T) {
	c := newCourt(t)
	policy, notes := contradiction(t)
	convicted := witness.Verdict{Frontend: "f2", Fault: witness.Convicted, Evidence: notes}
	c.weigh(diverged("f2"))
	c.weigh(convicted)
	c.expect("it is convicted", []string{"f2"}, nil)
	c.weigh()
	c.restart()
	c.expect("after a restart", []string{"f2"}, nil)
	c.weigh(diverged("f2"), diverged("f3"))
	c.expect("with other verdicts", []string{"f2"}, []string{"f3"})
	c.weigh(convicted)
	c.now = c.now.Add(10_000 * time.Hour)
	c.weigh()
	c.expect("after a long time", []string{"f2"}, nil)

	file, err := os.ReadFile(filepath.Join(c.dir, evidenceDir, "f2.txt"))
	if err != nil {
		t.Fatal(err)
	}
	found := witness.SplitNotes(file)
	if len(found) != 2 {
		t.Fatalf("the evidence is %q", file)
	}
	if names, err := witness.Evidence(policy, found[0], found[1]); err != nil || !slices.Equal(names, []string{"f2"}) {
		t.Errorf("the evidence convicts %q, %v", names, err)
	}

	c.keys["f2"] = []byte("another key of f2")
	c.weigh()
	c.expect("an operator has given it another key", nil, nil)
	c.restart()
	c.weigh()
	c.expect("after a restart with that key", nil, nil)
}

// The reports of a round can also differ because of an earlier master, which was corrupt.
func TestTheMasterOfASplitIsLeftForAnHourAndNotForGood(t *testing.T) {
	c := newCourt(t)
	split := witness.Verdict{Fault: witness.Split, Size: 9}
	c.weigh(split)
	c.expect("nobody knows who was the master", nil, nil)
	c.master = "f1"
	c.weigh(split)
	c.expect("it was this frontend", nil, nil)
	c.master = "f3"
	c.weigh(split)
	c.restart() // as this frontend does that goes back
	c.expect("after a restart", nil, []string{"f3"})
	c.weigh()
	c.expect("with no verdict", nil, []string{"f3"})
	c.now = c.now.Add(splitTime - time.Second)
	c.weigh(diverged("f3"))
	c.expect("before the hour has passed", nil, []string{"f3"})
	c.now = c.now.Add(2 * time.Second)
	c.weigh()
	c.expect("after an hour", nil, nil)
}
