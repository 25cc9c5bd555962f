package score

import (
	"reflect"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// sampleData holds valid data of every type, with the required members only. A new type
// needs a line.
var sampleData = map[Type]string{
	TypeCompetitionDefine: `{"name":"Games"}`,
	TypeContestDefine:     `{"kind":"ranked","sport":"menhir throw"}`,
	TypeCompetitorDefine:  `{"competitor":"GAU"}`,
	TypeContestStatus:     `{"clock":"1:00"}`,
	TypeContestDecide:     `{"winner":"GAU","decision":"RETIRED"}`,
	TypeContestReset:      `{"reason":"rain"}`,
	TypeScorePlay:         `{"competitor":"GAU","delta":0}`,
	TypeScoreSet:          `{"result":{"GAU":1}}`,
	TypeResultSet:         `{"competitor":"GAU","split":"finish","mark":9.58}`,
	TypeMedalAward:        `{"award_id":"a","medal":"GOLD","organisation":"GAU"}`,
	TypeMedalRevoke:       `{"award_id":"a","reason":"potion"}`,
	TypeEventVoid:         `{"voids":"b1-1","reason":"typing error"}`,
	TypeAlert:             `{"text":"the sky has fallen"}`,
}

func sampleEvent(t *testing.T, typ Type, data string) (Event, *Problem) {
	t.Helper()
	if data == "" {
		t.Fatalf("sampleData has no data of type %s", typ)
	}
	id := "OG50BC/1"
	if typ == TypeCompetitionDefine {
		id = "OG50BC"
	}
	return Decode([]byte(`{"type":"` + string(typ) + `","contest_id":"` + id + `","data":` + data + `}`))
}

func TestEveryStringHasALimitOrChoices(t *testing.T) {
	for _, typ := range Types {
		of := dataTypeOf(typ)
		if got := of.empty().eventType(); got != typ {
			t.Errorf("the data of %s is that of %s", typ, got)
		}
		for _, f := range of.fields {
			switch f.kind {
			case text, totals, names:
				if (f.limit > 0) == (f.choices != nil) {
					t.Errorf("%s: the tag is of %s names neither a limit nor choices", typ, f.name)
				}
			}
		}
	}
}

func TestEveryRequiredMemberIsRequired(t *testing.T) {
	for _, typ := range Types {
		if _, p := sampleEvent(t, typ, sampleData[typ]); p != nil {
			t.Errorf("%s: sampleData is refused: %v", typ, p)
			continue
		}
		for _, f := range dataTypeOf(typ).fields {
			if !f.required {
				continue
			}
			name := f.name
			var members map[string]jsontext.Value
			if err := json.Unmarshal([]byte(sampleData[typ]), &members); err != nil {
				t.Fatal(err)
			}
			delete(members, name)
			for _, null := range []bool{false, true} {
				if null {
					members[name] = jsontext.Value("null")
				}
				b, err := json.Marshal(members)
				if err != nil {
					t.Fatal(err)
				}
				if _, p := sampleEvent(t, typ, string(b)); p == nil || p.Field != "data."+name {
					t.Errorf("%s: %s was decoded without %s: %v", typ, b, name, p)
				}
				// The state machine reads data from a log, which another process wrote.
				e := Event{Type: typ, ContestID: "OG50BC/1"}
				if p := e.ReadData(b); p == nil && e.CheckData() == nil {
					t.Errorf("%s: %s passes the checks of the state machine without %s", typ, b, name)
				}
			}
		}
	}
}

func TestEveryTypeHasItsOwnData(t *testing.T) {
	types := map[reflect.Type]Type{}
	for _, typ := range Types {
		data := reflect.TypeOf(dataTypeOf(typ).empty())
		if other, ok := types[data]; ok {
			t.Errorf("%s and %s have the same data", typ, other)
		}
		types[data] = typ
	}
}
