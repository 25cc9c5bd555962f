package score_test

import (
	"fmt"
	"strings"
	"testing"

	"laurel/score"
)

// storedForm decodes the data of an event and returns its stored form.
func storedForm(t *testing.T, typ score.Type, data string) string {
	t.Helper()
	id := "OG50BC/1"
	if typ == score.TypeCompetitionDefine {
		id = "OG50BC"
	}
	e := event(t, fmt.Sprintf(`{"type":%q,"contest_id":%q,"data":%s}`, typ, id, data))
	b, err := score.MarshalData(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestNullAndNothingInItsPlaceHaveOneStoredForm(t *testing.T) {
	for _, c := range []struct {
		typ  score.Type
		want string
		all  []string
	}{
		{score.TypeContestDefine, `{"venue":null,"medal_event":null,"splits":null}`, []string{
			`{"splits":null,"venue":null,"medal_event":null}`, `{"venue":"","medal_event":0,"splits":[]}`,
			`{"venue":null,"medal_event":null,"splits":null,"comment":null,"reason":""}`,
		}},
		{score.TypeCompetitionDefine, `{"neutral":null,"organisations":null}`, []string{
			`{"organisations":[],"neutral":[]}`, `{"neutral":null,"organisations":null}`,
		}},
		{score.TypeCompetitorDefine, `{"competitor":"7","name":null,"order":null,"categories":null}`, []string{
			`{"competitor":"7","categories":[],"name":"","order":0}`,
		}},
	} {
		for _, data := range c.all {
			got := storedForm(t, c.typ, data)
			if got != c.want {
				t.Errorf("%s is stored as %s; want %s", data, got, c.want)
			}
			d, err := score.UnmarshalData(c.typ, []byte(got))
			if err != nil {
				t.Fatal(err)
			}
			if again, err := score.MarshalData(d); err != nil || string(again) != got {
				t.Errorf("%s is stored again as %s, %v", got, again, err)
			}
			if signed, err := score.AppendCanonical(nil, d); err != nil || !strings.Contains(string(signed), ":null") {
				t.Errorf("the signed form of %s is %s, %v", got, signed, err)
			}
		}
	}
}

func TestDefinitionsOfCompetitorsAndOrganisationsAreBounded(t *testing.T) {
	list := func(n int, text string) string {
		var l []string
		for i := range n {
			l = append(l, fmt.Sprintf(text, i))
		}
		return "[" + strings.Join(l, ",") + "]"
	}
	for _, c := range []struct{ typ, id, data, field string }{
		{"competitor.define", "A/1", `{"competitor":"a","categories":` + list(17, `"c%d"`) + `}`, "data.categories"},
		{"competitor.define", "A", `{"competitor":"a"}`, "contest_id"},
		{"competitor.define", "A/1", `{"name":"a"}`, "data.competitor"},
		{"competitor.define", "A/1", `{"competitor":"a","type":"X"}`, "data.type"},
		{"contest.define", "A/1", `{"competitors":[{"code":"a","categories":["x","x"]}]}`,
			"data.competitors.0.categories"},
		{"competition.define", "A", `{"organisations":` + list(1001, `{"code":"c%d"}`) + `}`, "data.organisations"},
		{"competition.define", "A", `{"organisations":[{"code":"x"},{"code":"x"}]}`, "data.organisations.1.code"},
		{"competition.define", "A", `{"organisations":[{"name":"x"}]}`, "data.organisations.0.code"},
	} {
		_, p := score.Decode([]byte(fmt.Sprintf(`{"type":%q,"contest_id":%q,"data":%s}`, c.typ, c.id, c.data)))
		if p == nil || p.Field != c.field {
			t.Errorf("%s: %v; want a problem with %s", c.data[:min(80, len(c.data))], p, c.field)
		}
	}
}
