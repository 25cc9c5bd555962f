package access

import (
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"laurel/score"
)

// The formats of a group that this version of Laurel reads and writes. A format is that of
// log entries, of snapshots and of the state. Which one a group has is a setting of it, so
// no member has to read what it does not know. See docs/decisions/0017-formats-of-a-group.md
// before you add one.
const (
	OldestFormat = 1
	NewestFormat = 2
)

// FormatError reports something in a later format than is read here.
type FormatError struct {
	What   string // that has the format
	Format uint64
	// Newest is the latest format in which a frontend is to take part, if it could read the
	// format; else 0.
	Newest uint64
}

func (e *FormatError) Error() string {
	if e.Newest > 0 {
		return fmt.Sprintf("%s has format %d, and this frontend is to take part in formats up to %d only; "+
			"allow it a later one", e.What, e.Format, e.Newest)
	}
	return fmt.Sprintf("%s has format %d, and this version of laurel reads formats %d to %d; "+
		"use the version of laurel that wrote it, or a later one", e.What, e.Format, OldestFormat, NewestFormat)
}

// Format returns the format of the group.
func (s *Settings) Format() uint64 { return max(s.Raised, OldestFormat) }

// raises returns the format to which c raises the group; 0 if it does not.
func (c *Change) raises() uint64 {
	if c == nil || c.Setting == nil || c.Setting.Name != SettingFormat {
		return 0
	}
	format, _ := parseFormat(c.Setting.Value)
	return format
}

// parseFormat reads the format to which a group can be raised.
func parseFormat(text string) (format uint64, ok bool) {
	format, err := strconv.ParseUint(text, 10, 8)
	ok = err == nil && format > OldestFormat && format <= NewestFormat && strconv.FormatUint(format, 10) == text
	if !ok {
		format = 0
	}
	return format, ok
}

// FormatOf returns the format of an entry with the change, which may be nil: that of the
// group or, if the change raises it, the new one.
func (s *State) FormatOf(c *Change) uint64 { return max(s.Settings.Format(), c.raises()) }

// CheckFormat refuses an entry in a later format than that of the group, unless its change
// raises the group to it. c is nil for an entry without a change.
func (s *State) CheckFormat(format uint64, c *Change) *score.Problem {
	if group := s.Settings.Format(); format > group && format != c.raises() {
		return score.Problemf(score.StatusConflict, "the entry has format %d, and the group has format %d", format,
			group)
	}
	return nil
}

// laterMembers are the members of a change, or of a signed one, that the first format does
// not have.
type laterMembers struct {
	JoinToken struct {
		Replace jsontext.Value `json:"replace"` // since format 2
	} `json:"join_token"`
	Change *laterMembers `json:"change"`
}

func (m *laterMembers) format() uint64 {
	switch {
	case m == nil:
		return OldestFormat
	case m.JoinToken.Replace != nil:
		return 2
	}
	return m.Change.format()
}

// MembersFormat returns the first format whose changes have all members of the JSON of a
// change, or of a signed one. A member that is there without a value counts, because a
// version that does not know it refuses it, too.
func MembersFormat(text []byte) uint64 {
	m := new(laterMembers)
	if err := json.Unmarshal(text, m); err != nil {
		return OldestFormat // no version decodes it as a change
	}
	return m.format()
}

// MembersFormat returns the first format whose changes have the members that are set in c.
func (c *Change) MembersFormat() uint64 {
	text, err := json.Marshal(c)
	if err != nil {
		return OldestFormat // nor can it be encoded
	}
	return MembersFormat(text)
}

// SettingFormatOf returns the format that a group needs for a setting; 0 if no setting has
// the name.
func SettingFormatOf(name string) uint64 {
	if rule := ruleOf(name, NewestFormat); rule != nil {
		return rule.format()
	}
	return 0
}

// raise raises the format of the group, as an entry in the new format says.
func (s *State) raise(value string, format uint64) (summary string, refused *score.Problem) {
	group := s.Settings.Format()
	switch to, ok := parseFormat(value); {
	case !ok, to != format:
		return "", score.Problemf(score.InvalidEvent,
			"got %.40q; an entry of format %d raises the group to that format only",
			value, format).At("setting.value")
	case to < group:
		return "", score.Problemf(score.StatusConflict, "the group has format %d, and a format is never lowered",
			group).At("setting.value")
	case to == group:
		return "", nil
	case s.Settings.FormatHold:
		return "", score.Problemf(score.StatusConflict, "the format of the group is held at %d; end the hold first",
			group).At("setting.name")
	default:
		s.Settings.Raised = to
		return fmt.Sprintf("the format of the group was %d; now it is %d", group, to), nil
	}
}
