//go:build spy

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"laurel/cmd/laurel/demo"
	"laurel/internal/localgroup"
)

const hasSpies = true // in this program

func TestSpyDemoShowsTheLieTheTruthAndTheLiarAndGoesOn(t *testing.T) {
	t.Parallel()
	out := &output{grown: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	group := localgroup.Options{RunDir: t.TempDir(), StartWithin: patience}
	if err := setProgram(&group); err != nil {
		t.Fatal(err)
	}
	group.Env = append(group.Env, asLaurel+"=1")
	ended := make(chan error, 1)
	go func() {
		ended <- demo.RunSpy(ctx, demo.Options{Speed: 30, TempDir: t.TempDir(), Out: out, Group: group})
	}()
	liar, end := out.await(t, `\*\* A Roman spy has got into (f\d), the master`, 0)
	_, end = out.await(t, liar+` says  ROM 13 : 3 EGY \(3 : 4\)   a lie\n`, end)
	_, end = out.await(t, `\$ laurel scores OG50BC/BOA-M-SFNL-01 --verify=now\n`, end)
	_, end = out.await(t, `winner: EGY\n`, end)
	_, end = out.await(t, `f\d, f\d, f\d agree, at revision \d+\n\s+`+liar+` \(http\S+ (?:gave another answer|did not answer)`, end) // in time
	_, end = out.await(t, `\*\* `+liar+` was put out at \S+ by f\d: it reported another history\n`, end)
	_, end = out.await(t, `\*\* f\d is the master now, and the Games go on\n`, end)
	_, end = out.await(t, `\$ laurel scores OG50BC/BOA-M-SFNL-01 --verify\n`, end)
	_, end = out.await(t, `winner: EGY\n`, end)
	_, end = out.await(t, `\*\* An operator stops `+liar, end)
	_, end = out.await(t, `winner: EGY\n`, end)
	_, end = out.await(t, `\*\* `+liar+` has made its state anew`, end)
	out.await(t, `= f1 f2 f3 f4 answer alike`, end)
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("the demo does not end")
	}
	if strings.Count(out.String(), "a lie") != 1 || strings.Contains(out.String(), "was refused") {
		t.Errorf("the demo printed\n%s", out)
	}
}
