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
