package fold

import (
	"testing"

	"laurel/score"
	"laurel/score/ranking"
)

// A type that is decoded but that no rule folds would be acknowledged and do nothing.
func TestEveryTypeIsFolded(t *testing.T) {
	for _, typ := range score.Types {
		data, err := score.UnmarshalData(typ, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		e := score.Event{Type: typ, ContestID: "OG50BC/1", Data: data}
		for _, kind := range []string{score.HeadToHead, score.Ranked} {
			c := NewContest("OG50BC/1")
			c.Definition = Definition{Kind: kind, Sport: "stones"}
			c.Competitors = []Competitor{{Entrant: score.Entrant{Code: "GAU"}}}
			c.Started = true
			if p := c.Fold(&e, noMarks{}, Live); p != nil && p.Code == score.InvalidEvent && p.Field == "type" {
				t.Errorf("Contest.Fold has no case for %s: %v", typ, p)
			}
		}
	}
}

type noMarks struct{}

func (noMarks) Traits(string) (t ranking.Traits) { return t }

func (noMarks) Set(string, ranking.Mark) (int, bool) { return 1, false }

func (noMarks) Has(string) bool { return false }

func (noMarks) Some(int) []string { return nil }

func (noMarks) Clear() {}

func (noMarks) First(string, int) ([]ranking.Mark, int) { return nil, 0 }

func (noMarks) Entrant(string) (e score.Entrant, _ bool) { return e, false }

func (noMarks) SetEntrant(score.Entrant) {}

func (noMarks) FirstEntrants(int) (list []score.Entrant) { return nil }

func (noMarks) Restate(string) {}
