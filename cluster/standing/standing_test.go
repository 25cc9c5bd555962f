package standing

import (
	"crypto/ed25519"
	"fmt"
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
	master  string // who is blamed for a split
	leads   string
	sealed  uint64
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
		Self: "f1", Store: "store", Now: c.now, Verdicts: verdicts, Key: func(name string) []byte { return c.keys[name] },
		Culprit: c.master, Master: c.leads, Next: c.sealed + 1,
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

func TestWhoAnswersReadersFalselyIsDistrustedWhileThatIsFound(t *testing.T) {
	c := newCourt(t)
	lies := witness.Verdict{Frontend: "f2", Fault: False}
	c.weigh(lies)
	c.expect("it lies", nil, []string{"f2"})
	since := c.now
	c.now = c.now.Add(time.Hour)
	c.weigh(lies)
	if s := c.keeper.Of("f2"); !s.Since.Equal(since) || s.Text() != "answered readers falsely" {
		t.Errorf("it %s since %v", s.Text(), s.Since)
	}
	c.weigh(diverged("f2"), lies)
	if s := c.keeper.Of("f2"); s.Reason != witness.Diverged {
		t.Errorf("it has diverged, and %s", s.Text())
	}
	c.weigh(lies)
	c.expect("it lies again", nil, []string{"f2"})
	c.weigh()
	c.expect("it lies no more", nil, nil)
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

func TestAConvictionOutlivesItsRecordAndItsPlaceInTheRoster(t *testing.T) {
	c := newCourt(t)
	policy, notes := contradiction(t)
	other := c.keys["f2"]
	c.keys["f2"] = policy.Frontends[0].Public
	c.weigh(witness.Verdict{Frontend: "f2", Fault: witness.Convicted, Evidence: notes})
	c.expect("it is convicted", []string{"f2"}, nil)
	file, dir := filepath.Join(c.dir, putOutFile), filepath.Join(c.dir, evidenceDir)
	for path, text := range map[string][]byte{
		file:                             []byte(`[{"frontend":`),
		filepath.Join(dir, "f3.txt"):     witness.JoinNotes(notes...), // they do not convict f3
		filepath.Join(dir, "f4.txt"):     notes[0],
		filepath.Join(dir, "README"):     nil,
		filepath.Join(dir, "nobody.txt"): []byte("\n\n\n\n"),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c.restart()
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Errorf("the damaged file was not set aside: %v", err)
	}
	c.weigh(diverged("f4"))
	c.expect("after its record was damaged", []string{"f2"}, []string{"f4"})
	c.restart()
	c.expect("after the next restart, with a new record", []string{"f2"}, nil)

	key := c.keys["f2"]
	for _, is := range []struct {
		key     []byte
		shunned []string
	}{{nil, nil}, {key, []string{"f2"}}, {other, nil}, {key, []string{"f2"}}} {
		c.keys["f2"] = is.key
		c.weigh()
		c.weigh()
		c.expect(fmt.Sprintf("with the key %x", is.key), is.shunned, nil)
	}
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
	c.now = c.now.Add(distrustTime - time.Second)
	c.weigh(diverged("f3"))
	c.expect("before the hour has passed", nil, []string{"f3"})
	c.now = c.now.Add(2 * time.Second)
	c.weigh()
	c.expect("after an hour", nil, nil)
}

func TestWhoSentAnEntryThatCannotBeParsedIsDistrustedForAnHour(t *testing.T) {
	c := newCourt(t)
	unreadable := witness.Verdict{Frontend: "f3", Fault: Unreadable, Size: 7}
	c.weigh(unreadable, witness.Verdict{Frontend: "f1", Fault: Unreadable})
	c.expect("it has sent one", nil, []string{"f3"})
	c.now = c.now.Add(distrustTime - time.Second)
	c.weigh()
	c.expect("before the hour has passed", nil, []string{"f3"})
	c.now = c.now.Add(2 * time.Second)
	c.weigh()
	c.expect("after an hour", nil, nil)
	c.weigh(unreadable)
	c.expect("it has sent another one", nil, []string{"f3"})
	c.keys["f3"] = []byte("another key")
	c.weigh()
	c.expect("it has another key", nil, nil)
}
