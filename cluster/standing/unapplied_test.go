package standing

import (
	"slices"
	"testing"

	"laurel/witness"
)

func TestAMasterIsHeldToWhatItSaidOnceThatRevisionIsCertified(t *testing.T) {
	c := claims{}
	c.add("f2", 12)
	c.add("f2", 9)
	c.add("f2", 15)
	c.add("f3", 11)
	for _, at := range []struct {
		revision uint64
		want     []string
	}{{8, nil}, {10, []string{"f2"}}, {10, nil}, {11, []string{"f3"}}, {99, nil}} {
		if got := c.settle(at.revision); !slices.Equal(got, at.want) {
			t.Errorf("revision %d is certified: %q are found; want %q", at.revision, got, at.want)
		}
	}
}

func TestAMasterThatSaidWhatIsNotSoIsLeftUntilAnotherOneHasSealed(t *testing.T) {
	c := newCourt(t)
	c.sealed, c.leads = 6, "f2"
	c.weigh(witness.Verdict{Frontend: "f2", Fault: Unapplied, Size: 7})
	c.expect("it said so", nil, []string{"f2"})
	c.sealed = 7
	c.weigh()
	c.expect("it has sealed itself", nil, []string{"f2"})
	if s := c.keeper.Of("f2"); s.Text() != "said that events were applied that were not" {
		t.Errorf("it %s", s.Text())
	}
	c.leads = "f3"
	c.weigh()
	c.expect("another one has sealed", nil, nil)
}
