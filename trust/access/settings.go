package access

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

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
	SettingFormat      = "format"
	SettingFormatHold  = "format_hold"
	// The policy by which dead members are removed.
	SettingCleanUpAfter = "clean_up_after"
	SettingMinVoters    = "min_voters"
	SettingStabilize    = "stabilize"
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
	// Raised is the format to which the group was raised, 0 if it has the first one; see
	// Format. FormatHold keeps it from being raised.
	Raised     uint64 `json:"format,omitzero"`
	FormatHold bool   `json:"format_hold,omitzero"`
	// CleanUpAfter is the silence after which a member is dead, Stabilize for how long the group
	// must have been well before one is removed, and MinVoters how many voters stay. Without a
	// value those of autopilot.Default hold.
	CleanUpAfter string `json:"clean_up_after,omitzero"`
	Stabilize    string `json:"stabilize,omitzero"`
	MinVoters    int    `json:"min_voters,omitzero"`
}

// settingRule describes a setting.
type settingRule struct {
	name  string
	want  string // the valid values
	fixed bool   // once it has a value it keeps it
	// since is the first format that has the setting; 0 for the first of all. One of a later
	// format has no value by default: States of the first format are those of versions that
	// know no other.
	since uint64
	get   func(s *Settings) string
	// set sets a valid value, and reports whether the value is valid.
	set func(s *Settings, value string) bool
}

const wantStoreID = "1 to 32 small letters and digits"

func (r *settingRule) format() uint64 { return max(r.since, OldestFormat) }

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
		name: SettingCleanUpAfter, want: "0s for never, or 1m to 8760h, such as 72h", since: 2,
		get: func(s *Settings) string { return s.CleanUpAfter },
		set: func(s *Settings, value string) bool {
			s.CleanUpAfter = value
			return value == "0s" || validDuration(value, time.Minute, 8760*time.Hour)
		},
	},
	{
		// State.raise changes it.
		name: SettingFormat, want: "a number", since: 2,
		get: func(s *Settings) string {
			if s.Raised == 0 {
				return ""
			}
			return strconv.FormatUint(s.Raised, 10)
		},
		set: func(s *Settings, value string) (ok bool) {
			s.Raised, ok = parseFormat(value)
			return ok
		},
	},
	{
		name: SettingFormatHold, want: "true or false", since: 2,
		get: func(s *Settings) string {
			if s.FormatHold {
				return "true"
			}
			return ""
		},
		set: func(s *Settings, value string) bool {
			s.FormatHold = value == "true"
			return s.FormatHold || value == "false"
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
		name: SettingMinVoters, want: "0 to remove no voter, or 3 to 99", since: 2,
		get: func(s *Settings) string {
			if s.MinVoters == 0 {
				return ""
			}
			return strconv.Itoa(s.MinVoters)
		},
		set: func(s *Settings, value string) bool {
			n, err := strconv.Atoi(value)
			s.MinVoters = n
			return err == nil && strconv.Itoa(n) == value && (n == 0 || n >= 3 && n <= 99)
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
		name: SettingStabilize, want: "5s to 1h, such as 10s", since: 2,
		get: func(s *Settings) string { return s.Stabilize },
		set: func(s *Settings, value string) bool {
			s.Stabilize = value
			return validDuration(value, 5*time.Second, time.Hour)
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

// validDuration reports whether a value is a duration within bounds, in the one form that
// score.FormatDuration gives it: what the log has must mean the same to each version.
func validDuration(value string, least, most time.Duration) bool {
	d, err := time.ParseDuration(value)
	return err == nil && d >= least && d <= most && score.FormatDuration(d) == value
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
		switch {
		case value == "" && (r.fixed || r.since > 0):
		case r.format() > s.Format() || !r.set(&s, value):
			return false
		}
	}
	return true
}

// ruleOf returns the rule of a setting that a change in an entry of a format can have; nil
// if there is none. No such change makes a group sworn.
func ruleOf(name string, format uint64) *settingRule {
	i := slices.IndexFunc(settingRules, func(r settingRule) bool { return r.name == name })
	if i < 0 || name == SettingSworn || settingRules[i].format() > format {
		return nil
	}
	return &settingRules[i]
}

// set changes one setting, as an entry of a format says. A setting that has the value
// already is not changed.
func (s *State) set(c *Setting, format uint64) (summary string, refused *score.Problem) {
	rule := ruleOf(c.Name, format)
	switch {
	case rule == nil:
		return "", score.Problemf(score.InvalidEvent, "there is no setting %.40q; want one of %s", c.Name,
			settingNames(format)).At("setting.name")
	case c.Name == SettingFormat:
		return s.raise(c.Value, format)
	}
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
	case before == "" && rule.get(&s.Settings) != "":
		return fmt.Sprintf("the setting %s is %s", rule.name, c.Value), nil
	case rule.get(&s.Settings) != before:
		return fmt.Sprintf("the setting %s was %s; now it is %s", rule.name, before, c.Value), nil
	}
	return "", nil
}

// settingNames returns the names of the settings that a change of a format can have.
func settingNames(format uint64) string {
	var names []string
	for _, r := range settingRules {
		if ruleOf(r.name, format) != nil {
			names = append(names, r.name)
		}
	}
	return strings.Join(names, ", ")
}
