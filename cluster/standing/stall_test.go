package standing

import (
	"testing"
	"time"

	"laurel/witness"
)

func TestOnlyAMasterThatLeavesTheSameRoundUnsealedHasStalled(t *testing.T) {
	type look struct {
		master string
		round  uint64
	}
	steady := func(at int) look { return look{"f2", 7} }
	for _, c := range []struct {
		what  string
		see   func(second int) look
		pause time.Duration // after 50 s this frontend is stopped for so long
		want  int           // the second in which it is found; 0 for never within two minutes
	}{
		{"it seals nothing", steady, 0, 60},
		{"nothing has changed", func(int) look { return look{"f2", 0} }, 0, 0},
		{"nobody is the master", func(int) look { return look{"", 7} }, 0, 0},
		{"it seals now and then", func(at int) look { return look{"f2", uint64(at / 50)} }, 0, 0},
		{"another one becomes the master", func(at int) look {
			if at < 50 {
				return look{"f2", 7}
			}
			return look{"f3", 7}
		}, 0, 110},
		{"others have sealed once", func(at int) look {
			if at == 30 {
				return look{"f2", 0}
			}
			return look{"f2", 7}
		}, 0, 91},
		{"this frontend is stopped", steady, time.Hour, 110},
	} {
		var s stall
		now, found := time.Unix(1_800_000_000, 0), 0
		for at := 0; at < 120 && found == 0; at++ {
			for range 20 {
				l := c.see(at)
				if s.see(now, l.master, l.round, time.Minute) && found == 0 {
					found = at
				}
				now = now.Add(50 * time.Millisecond)
			}
			if at == 49 {
				now = now.Add(c.pause)
			}
		}
		if found != c.want {
			t.Errorf("%s: it is found after %d s; want %d", c.what, found, c.want)
		}
	}
}

func TestAMasterThatHasStalledIsLeftUntilAnotherOneHasSealed(t *testing.T) {
	c := newCourt(t)
	stalled := witness.Verdict{Frontend: "f2", Fault: Stalled, Size: 7}
	c.sealed = 6
	c.weigh(stalled)
	c.expect("it has stalled", nil, []string{"f2"})
	c.weigh()
	c.expect("nobody is the master", nil, []string{"f2"})
	c.sealed, c.leads = 7, "f2"
	c.weigh()
	c.expect("it has sealed itself", nil, []string{"f2"})
	c.sealed, c.leads = 6, "f3"
	c.weigh()
	c.expect("another one is the master", nil, []string{"f2"})
	c.sealed = 7
	c.weigh()
	c.expect("that one has sealed", nil, nil)

	c.sealed, c.leads = 6, ""
	c.weigh(stalled)
	c.now = c.now.Add(stalledTime - time.Second)
	c.weigh()
	c.expect("nobody was elected", nil, []string{"f2"})
	c.now = c.now.Add(2 * time.Second)
	c.weigh()
	c.expect("nobody was elected for long", nil, nil)
	c.weigh(stalled)
	c.restart()
	c.expect("a restart", nil, nil)
}
