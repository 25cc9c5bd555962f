package model_test

import (
	"regexp"
	"strings"
	"testing"

	"laurel/internal/spin"
)

const file = "certificates.pml"

func search(t *testing.T, quick bool, flags ...string) string {
	t.Helper()
	if !quick {
		spin.TakesMinutes(t)
	}
	report := spin.Search(t, file, flags)
	t.Log(spin.Summary(report))
	return report
}

func TestNoTwoCertificatesDisagreeInAnyWorldOfTheModel(t *testing.T) {
	for _, w := range []struct {
		name  string
		quick bool
		flags []string
	}{
		{"two rounds", true, []string{"-DROUNDS=2"}},
		{"two rounds and crashes", true, []string{"-DROUNDS=2", "-DCRASHES"}},
		{"three rounds", false, []string{"-DROUNDS=3"}},
		{"times", false, []string{"-DTIMES"}},
	} {
		t.Run(w.name, func(t *testing.T) {
			if err := spin.Complete(search(t, w.quick, w.flags...)); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestEveryBrokenRuleIsFoundInTheModel(t *testing.T) {
	for _, b := range []struct {
		rule, promise, assertion string
		quick                    bool
		flags                    []string
	}{
		{"ONCE", "R1: each size is reported once", "honest", true, nil},
		{"HISTORY", "R2: a report has what was cosigned", "agreement", false, nil},
		{"TWO", "R3: three reports are a proof", "agreement", true, nil},
		{"LATE", "R3: no cosignature after a later report", "agreement", true, nil},
		{"LEAVE", "R4: what was cosigned is left only for a history with a higher proof", "agreement", false, nil},
		{"READER", "a reader takes three cosignatures", "agreement", false, nil},
		{"REPORT", "a report is saved before it is sent", "honest", false, []string{"-DCRASHES"}},
		{"COSIGN", "a cosignature is saved before it is sent", "agreement", true, []string{"-DCRASHES"}},
		{"FORGET", "a frontend that forgot everything gets another key", "agreement", false, []string{"-DCRASHES", "-DROUNDS=2"}},
		{"OLDER", "R5: times only on the largest size cosigned", "fresh", false, []string{"-DTIMES"}},
		{"WAIT", "R6: no new time while entries wait", "fresh", false, []string{"-DTIMES"}},
	} {
		t.Run(b.rule, func(t *testing.T) {
			flags := append([]string{"-DBREAK_" + b.rule}, b.flags...)
			if b.assertion == "agreement" {
				flags = append(flags, "-DONLY_AGREEMENT")
			}
			report := search(t, b.quick, flags...)
			found := regexp.MustCompile(`assertion violated \(*(\w+)`).FindStringSubmatch(report)
			if found == nil || !strings.HasPrefix(b.assertion, found[1]) && b.assertion != "fresh" {
				t.Fatalf("the rule %q is broken, and spin found %q:\n%s", b.promise, found, report)
			}
		})
	}
}
