package access

import (
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

func TestASettingHasOneOfItsValues(t *testing.T) {
	a := newAccessTest(t)
	a.change(Change{Guard: true})
	a.change(Change{Setting: &Setting{SettingLineage, strings.Repeat("z", 32)}})
	for _, bad := range []Setting{
		{SettingPrivate, ""}, {SettingPrivate, "TRUE"}, {SettingPrivate, "1"}, {SettingPrivate, "true "},
		{SettingCacheMode, ""}, {SettingCacheMode, "Push"},
		{SettingLineage, ""},
		{SettingIncarnation, ""}, {SettingIncarnation, "A"}, {SettingIncarnation, "a-b"}, {SettingIncarnation, "a/b"},
		{SettingIncarnation, "\u00e9"}, {SettingIncarnation, "a\n"},
		{SettingIncarnation, strings.Repeat("z", 33)},
	} {
		a.wantRefused(score.InvalidEvent, "want ", Change{Setting: &bad})
	}
	for _, unknown := range []string{"", "guard", "PRIVATE", "private ", strings.Repeat("x", 1000)} {
		a.wantRefused(score.InvalidEvent, "want one of cache_mode, incarnation, lineage, private",
			Change{Setting: &Setting{unknown, "true"}})
	}
	if a.Settings.Private || a.Settings.Incarnation != "" {
		t.Errorf("the settings are %+v", a.Settings)
	}
}

func TestTheSettingsAreListedByName(t *testing.T) {
	a := newAccessTest(t)
	want := []Setting{{SettingCacheMode, "push"}, {SettingPrivate, "false"}}
	if got := a.Settings.List(); !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	a.change(Change{Guard: true})
	want = []Setting{
		{SettingCacheMode, "pull"}, {SettingIncarnation, "gaul1"}, {SettingLineage, "gaul"}, {SettingPrivate, "true"},
	}
	for _, s := range want {
		a.change(Change{Setting: &s})
	}
	if got := a.Settings.List(); !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestAnOpenStoreCannotBePrivate(t *testing.T) {
	a := newAccessTest(t)
	private := Change{Setting: &Setting{SettingPrivate, "true"}}
	a.wantRefused(score.StatusConflict, "authenticates nobody", private)
	a.change(Change{Guard: true})
	a.change(private)
}

func TestTheSettingsOfTheAutopilotHaveOneFormAndBounds(t *testing.T) {
	a := newAccessTest(t)
	a.State.Settings.Raised = 2
	set := func(s Setting, format uint64) *score.Problem {
		next, _, p := a.State.Apply(a.stamp(Change{Setting: &s}), format)
		if p == nil {
			a.State = next
		}
		return p
	}
	for _, good := range []Setting{
		{SettingCleanUpAfter, "0s"}, {SettingCleanUpAfter, "1m"}, {SettingCleanUpAfter, "72h"}, {SettingCleanUpAfter, "1h30m"},
		{SettingMinVoters, "3"}, {SettingMinVoters, "99"}, {SettingMinVoters, "0"},
		{SettingStabilize, "5s"}, {SettingStabilize, "1h"},
	} {
		if p := set(good, 1); p == nil || p.Code != score.InvalidEvent || !strings.HasPrefix(p.Detail, "there is no setting") {
			t.Errorf("the first format: %v: %v", good, p)
		}
		if p := set(good, 2); p != nil {
			t.Errorf("%v: %v", good, p)
		}
	}
	for _, bad := range []Setting{
		{SettingCleanUpAfter, ""}, {SettingCleanUpAfter, "59s"}, {SettingCleanUpAfter, "8761h"}, {SettingCleanUpAfter, "90m"},
		{SettingCleanUpAfter, "-1h"}, {SettingCleanUpAfter, "72h0m0s"}, {SettingCleanUpAfter, "72"},
		{SettingMinVoters, ""}, {SettingMinVoters, "1"}, {SettingMinVoters, "2"}, {SettingMinVoters, "100"}, {SettingMinVoters, "03"},
		{SettingStabilize, "0s"}, {SettingStabilize, "4s"}, {SettingStabilize, "1h1m"}, {SettingStabilize, "60m"},
	} {
		if p := set(bad, 2); p == nil || p.Code != score.InvalidEvent {
			t.Errorf("%v: %v", bad, p)
		}
	}
	if got := a.Settings; got.CleanUpAfter != "1h30m" || got.MinVoters != 0 || got.Stabilize != "1h" || !got.valid() {
		t.Errorf("the settings are %+v", got)
	}
}
