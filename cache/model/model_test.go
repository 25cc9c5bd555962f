package model_test

import (
	"regexp"
	"strings"
	"testing"

	"laurel/internal/spin"
)

// worlds are the configurations of the model that are searched to the end. Each has more
// of one thing, because a world that has everything would not fit into memory.
var worlds = []struct {
	name  string
	quick bool
	flags []string
}{
	{"one write", true, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=1"}},
	{"leases that overlap", false, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=2"}},
	{"two writes", false, []string{"-DEPOCHS=2", "-DWRITES=2", "-DL=1"}},
	{"two master changes", false, []string{"-DEPOCHS=3", "-DWRITES=1", "-DL=1"}},
	{"handing over and crashes", false, []string{"-DEPOCHS=2", "-DWRITES=1", "-DL=1", "-DHANDING", "-DCRASHES"}},
}

// broken are the rules of the protocol that the model can switch off, each with what the
// world must have for the rule to matter.
var broken = []struct {
	rule, promise string
	quick         bool
	flags         []string
}{
	{"ACKS", "release only after the acks", true, nil},
	{"WAIT", "a new master waits for the leases of the old", false, nil},
	{"SELF", "a deposed master counts itself among those that acked it", false, []string{"-DL=2"}},
	{"CHECK", "no read without a lease", true, nil},
	{"ANCHOR", "a lease counts from the ack that it answers", false, []string{"-DL=2"}},
	{"EPOCH", "no cache entry survives an epoch", false, nil},
	{"GATE", "no answer above R", false, nil},
	{"UPPER", "the lease of a silent frontend is waited for", false, nil},
	{"FSM", "the master reads its cache, not its state machine", false, nil},
	{"LOAD", "a load waits for its floor", true, nil},
	{"PUT", "a load is not put under what was pushed and evicted meanwhile", false, nil},
	{"ROUND", "an ack counts only for its own round", false, []string{"-DL=2"}},
	{"SESSION", "no cache entry survives its session", false, nil},
	{"RETIRE", "voters are told to forget only when no lease is left", false, []string{"-DHANDING"}},
	{"RECALL", "a Recall does not overtake a grant", false, []string{"-DHANDING", "-DL=2"}},
	{"RETURNED", "a new grant voids an older Returned", false, []string{"-DHANDING", "-DL=2"}},
	{"RESUME", "a master that goes on after a failed hand-over needs new rounds", false, []string{"-DHANDING"}},
	{"RESTART", "a restarted voter does not say that it never acked", false, []string{"-DCRASHES"}},
}

func TestNoReadIsStaleInAnyWorldOfTheModel(t *testing.T) {
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			if !w.quick {
				spin.TakesMinutes(t)
			}
			report := spin.Search(t, "push.pml", w.flags)
			t.Log(spin.Summary(report))
			if err := spin.Complete(report); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestEveryBrokenRuleIsFoundInTheModel(t *testing.T) {
	for _, b := range broken {
		t.Run(b.rule, func(t *testing.T) {
			if !b.quick {
				spin.TakesMinutes(t)
			}
			flags := append([]string{"-DEPOCHS=2", "-DWRITES=1", "-DBREAK_" + b.rule}, b.flags...)
			if !strings.Contains(strings.Join(flags, " "), "-DL=") {
				flags = append(flags, "-DL=1")
			}
			report := spin.Search(t, "push.pml", flags)
			if !regexp.MustCompile(`assertion violated \(\(?(value|lease)`).MatchString(report) {
				t.Fatalf("the rule %q is broken, and spin found nothing:\n%s", b.promise, report)
			}
		})
	}
}
