package standing

import (
	"slices"
	"testing"
	"time"
)

// logOf returns where the entries of a log come from, by index from 1 on.
func logOf(entries ...origin) func(index uint64) (origin, bool) {
	return func(index uint64) (o origin, known bool) {
		if index > uint64(len(entries)) {
			return o, false
		}
		return entries[index-1], true
	}
}

// f3 is corrupt. It brings the entries of whatever term it likes.
func TestAMasterThatForgesTermsHasNobodyElseBlamed(t *testing.T) {
	of := func(by, master string) origin { return origin{by: by, master: master} }
	for _, c := range []struct {
		what string
		log  func(uint64) (origin, bool)
		want []string // nil if it is not known
	}{
		{"its own entries", logOf(of("f3", "f3"), of("f3", "f3")), []string{"f3"}},
		{"entries that say the term of f2", logOf(of("f3", "f2"), of("f3", "f2")), []string{"f2", "f3"}},
		{"a seal that says the term of f2", logOf(of("f3", "f3"), of("f3", "f2")), []string{"f2", "f3"}},
		{"what f3 made, passed on by f2", logOf(of("f2", "f3"), of("f2", "f2")), []string{"f2", "f3"}},
		{"what f2 left before", logOf(of("f2", "f2"), of("f3", "f3")), []string{"f2", "f3"}},
		{"what changes nothing", logOf(origin{by: "f2", empty: true}, of("f3", "f3")), []string{"f3"}},
		{"the own entries of f1", logOf(of("f1", "f1"), of("f1", "f1")), []string{}},
		{"a term whose master is not known", logOf(of("f3", ""), of("f3", "f3")), nil},
		{"entries of before the start", logOf(of("", "f3"), of("f3", "f3")), nil},
		{"an entry that is gone", logOf(of("f3", "f3")), nil},
	} {
		got, known := suspects("f1", 1, 2, c.log)
		if known != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %t; want %q", c.what, got, known, c.want)
		}
	}
	if _, known := suspects("f1", 1, 2+maxDoubtful, nil); known {
		t.Error("more entries are looked at than may be")
	}
}

func TestEntriesAreOfWhoBroughtThemInThePlaceOfOthers(t *testing.T) {
	o := &Origins{}
	o.note(5, "f2")
	o.note(8, "f2")
	o.note(10, "f3")
	o.note(7, "f1") // removes 7 to 10
	o.note(8, "")
	o.note(12, "f3")
	o.note(10, "f3") // brings 10 and 11 as well
	for index, want := range map[uint64]string{4: "", 5: "f2", 6: "f2", 7: "f1", 8: "", 9: "", 10: "f3", 99: "f3"} {
		if got := o.Of(index); got != want {
			t.Errorf("entry %d is of %q; want %q", index, got, want)
		}
	}
	for index := range uint64(1000) {
		o.note(100+index, []string{"f1", "f2"}[index%2])
	}
	if len(o.runs) != maxRuns || o.Of(1099) != "f2" || o.Of(1098) != "f1" || o.Of(100) != "" {
		t.Errorf("%d runs are known", len(o.runs))
	}
}

func TestWhoMayHaveMisledOthersEachTimeIsBlamed(t *testing.T) {
	c := newCourt(t)
	for _, step := range []struct {
		what     string
		suspects []string
		want     []string
	}{
		{"the first time", []string{"f2", "f3"}, []string{"f2", "f3"}},
		{"nobody knows", []string{"f2", "f3", "f4"}, []string{"f2", "f3"}},
		{"another master", []string{"f3", "f4"}, []string{"f3"}},
		{"nobody was each time", []string{"f2", "f4"}, []string{"f2", "f4"}},
	} {
		if got := c.keeper.Narrow(step.suspects, c.now); !slices.Equal(got, step.want) {
			t.Errorf("%s: %q; want %q", step.what, got, step.want)
		}
		c.weigh(diverged("f4")) // which writes the file, too
		c.restart()             // as each frontend does that goes back
	}
	c.now = c.now.Add(distrustTime + time.Second)
	if got := c.keeper.Narrow([]string{"f2", "f3"}, c.now); !slices.Equal(got, []string{"f2", "f3"}) {
		t.Errorf("after more than an hour: %q", got)
	}
}
