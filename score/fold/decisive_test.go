package fold

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"laurel/score"
)

// A new member of a definition must be in one of the two lists: either a change after the
// first play needs a reason, or it cannot change any result.
func TestEveryMemberOfADefinitionIsDecisiveOrHarmless(t *testing.T) {
	harmless := []string{
		"-", "sport", "competition", "competition_name", "title", "discipline", "event", "phase", "group", "gender", "venue",
		"start_time", "medal_event", "competitors", "reason", "comment",
	}
	for of := range reflect.TypeFor[score.ContestDefine]().Fields() {
		name, _, _ := strings.Cut(of.Tag.Get("json"), ",")
		if slices.Contains(decisive, name) == slices.Contains(harmless, name) {
			t.Errorf("%s is neither decisive nor harmless, or both", name)
		}
	}
}
