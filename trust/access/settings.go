package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"laurel/score"
)

// Setting is the value of one setting of the group.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// The names of the settings.
const (
	SettingCacheMode   = "cache_mode"
	SettingPrivate     = "private"
	SettingLineage     = "lineage"
	SettingIncarnation = "incarnation"
	SettingSworn       = "sworn"
)

// Settings are the settings of the group. The names of its members are part of the
// snapshot format.
type Settings struct {
	CacheMode score.CacheMode `json:"cache_mode"`
	Private   bool            `json:"private"` // only readers may read
	// Lineage is the identity of the store, which signatures name. A restored store keeps
	// it. It is empty in a new store, as is the incarnation.
	Lineage string `json:"lineage"`
	// Incarnation names one course of the store's revisions. A restored store has another
	// one. The ids of watchers name it.
	Incarnation string `json:"incarnation"`
	// Sworn groups take only what is signed; see SwornChange.
	Sworn bool `json:"sworn,omitzero"`
}

// settingRule describes a setting.
type settingRule struct {
	name  string
	want  string // the valid values
	fixed bool   // once it has a value it keeps it
	get   func(s *Settings) string
	// set sets a valid value, and reports whether the value is valid.
	set func(s *Settings, value string) bool
}

const wantStoreID = "1 to 32 small letters and digits"

// settingRules are the settings that this version knows, by name.
var settingRules = []settingRule{
	{
		name: SettingCacheMode, want: string(score.Push) + " or " + string(score.Pull),
		get: func(s *Settings) string { return string(s.CacheMode) },
		set: func(s *Settings, value string) bool {
			s.CacheMode = score.CacheMode(value)
			return s.CacheMode == score.Push || s.CacheMode == score.Pull
		},
	},
	{
		name: SettingIncarnation, want: wantStoreID, fixed: true,
		get: func(s *Settings) string { return s.Incarnation },
		set: func(s *Settings, value string) bool {
			s.Incarnation = value
			return score.ValidLineage(value)
		},
	},
	{
		name: SettingLineage, want: wantStoreID, fixed: true,
		get: func(s *Settings) string { return s.Lineage },
		set: func(s *Settings, value string) bool {
			s.Lineage = value
			return score.ValidLineage(value)
		},
	},
	{
		name: SettingPrivate, want: "true or false",
		get: func(s *Settings) string { return strconv.FormatBool(s.Private) },
		set: func(s *Settings, value string) bool {
			s.Private = value == "true"
			return s.Private || value == "false"
		},
	},
	{
		// It is set when the group is made. A group that is not sworn does not show it.
		name: SettingSworn, want: "true", fixed: true,
		get: func(s *Settings) string {
			if s.Sworn {
				return "true"
			}
			return ""
		},
		set: func(s *Settings, value string) bool {
			s.Sworn = value == "true"
			return s.Sworn
		},
	},
}

// List returns all settings that have a value, by name.
func (s Settings) List() []Setting {
	list := []Setting{}
	for _, r := range settingRules {
		if value := r.get(&s); value != "" {
			list = append(list, Setting{r.name, value})
		}
	}
	return list
}

// valid reports whether each setting has a valid value, or none where that is allowed.
func (s Settings) valid() bool {
	for _, r := range settingRules {
		value := r.get(&s)
		if !r.set(&s, value) && !(r.fixed && value == "") {
			return false
		}
	}
	return true
}

// set changes one setting. A setting that has the value already is not changed.
func (s *State) set(c *Setting) (summary string, refused *score.Problem) {
	i := slices.IndexFunc(settingRules, func(r settingRule) bool { return r.name == c.Name })
	if i < 0 || c.Name == SettingSworn { // no entry of the first format can make a group sworn
		return "", score.Problemf(score.InvalidEvent, "there is no setting %.40q; want one of %s", c.Name,
			settingNames()).At("setting.name")
	}
	rule := settingRules[i]
	before := rule.get(&s.Settings)
	switch {
	case !rule.set(&s.Settings, c.Value):
		return "", score.Problemf(score.InvalidEvent, "got %.40q; want %s", c.Value, rule.want).At("setting.value")
	case c.Name == SettingPrivate && s.Settings.Private && !s.Guarded:
		return "", score.Problemf(score.StatusConflict,
			"the group authenticates nobody, so it cannot be private; "+
				"make a group with certificates").At("setting.value")
	case rule.fixed && before != "":
		return "", score.Problemf(score.StatusConflict, "the %s of the store is %s and does not change",
			rule.name, before).At("setting.name")
	case before == "":
		return fmt.Sprintf("the setting %s is %s", rule.name, c.Value), nil
	case before != c.Value:
		return fmt.Sprintf("the setting %s was %s; now it is %s", rule.name, before, c.Value), nil
	}
	return "", nil
}

func settingNames() string {
	var names []string
	for _, r := range settingRules {
		if r.name != SettingSworn {
			names = append(names, r.name)
		}
	}
	return strings.Join(names, ", ")
}
