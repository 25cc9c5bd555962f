package score_test

import (
	"strings"
	"testing"

	"laurel/score"
)

func TestDataSurvivesItsStoredForm(t *testing.T) {
	full := map[score.Type][]string{
		score.TypeCompetitionDefine: {`{"name":"Games","neutral":["AIN","EOR"],"comment":"x"}`, `{}`},
		score.TypeContestDefine: {`{"kind":"ranked","sport":"x","competition":"OG50BC","competition_name":"Games","title":"t","discipline":"d","event":"e","phase":"p","group":"g","gender":"W",` +
			`"venue":"v","start_time":"2026-02-09T10:00:00.123456789+01:00","medal_event":1,"result_type":"TIME","unit":"s","sort":"asc","splits":["5k","finish"],` +
			`"competitors":[{"code":"1","name":"Sjö","organisation":"GAU","type":"A","order":3}],"comment":"x"}`,
			`{"kind":"head_to_head","sport":"x","tiebreak_periods":["SO"]}`},
		score.TypeContestStatus: {`{"schedule_status":"RUNNING","result_status":"LIVE","period":"H1","clock":"1'","comment":"x"}`},
		score.TypeScorePlay:     {`{"competitor":"GAU","delta":-0.005,"period":"H1","action":"A","clock":"c","athlete":"a","result":{"A":1.5,"B":0},"stats_delta":{"s":1},"comment":"x"}`, `{"competitor":"GAU","delta":0}`},
		score.TypeScoreSet:      {`{"result":{"A":1,"B":-2},"period":"p","reason":"r","comment":"x"}`, `{"result":{"A":1},"adjustment":true}`},
		score.TypeResultSet:     {`{"competitor":"1","split":"5k","mark":0,"category":"F","organisation":"GAU","comment":"x"}`, `{"competitor":"1","split":"5k","irm":"DNS"}`},
		score.TypeMedalAward:    {`{"award_id":"a","medal":"GOLD","organisation":"GAU","competitor":"c","sport":"s","event":"e","comment":"x"}`},
		score.TypeMedalRevoke:   {`{"award_id":"a","reason":"r","comment":"x"}`},
		score.TypeEventVoid: {`{"voids":"a","reason":"r","comment":"x"}`,
			`{"voids":"a","voids_revision":7,"voids_source":"b/c","voids_seq":3,"reason":"r"}`},
		score.TypeAlert: {`{"text":"line\nline","comment":"x"}`},
	}
	for _, typ := range score.Types {
		for _, text := range append(full[typ], score.SampleData[typ]) {
			checkStoredForm(t, event(t, eventJSON(typ, text)), text)
		}
	}
}

// checkStoredForm checks that text is the stored form of the data, and survives
// UnmarshalData.
func checkStoredForm(t *testing.T, e *score.Event, text string) {
	t.Helper()
	b, err := score.MarshalData(e.Data)
	if err != nil || string(b) != text {
		t.Errorf("%s: canonical is\n%s, %v; want\n%s", e.Type, b, err, text)
	}
	back, err := score.UnmarshalData(e.Type, b)
	if err != nil {
		t.Errorf("%s: %s does not come back: %v", e.Type, b, err)
		return
	}
	if again, err := score.MarshalData(back); err != nil || string(again) != string(b) {
		t.Errorf("%s: %s is read back as %s, %v", e.Type, b, again, err)
	}
}

func TestEqualDataHasOneStoredForm(t *testing.T) {
	for _, texts := range [][]string{
		{`{"competitor":"GAU","delta":2,"result":{"GAU":2,"ROM":0}}`,
			` { "result" : { "ROM" : 0.0 , "GAU" : 2.00 } , "delta" : 2.000 , "competitor" : "\u0047AU" }`},
		{`{"competitor":"GAU","delta":0}`, `{"competitor":"GAU","delta":-0,"period":"","comment":"","result":{},"stats_delta":{}}`},
	} {
		first, second := event(t, eventJSON(score.TypeScorePlay, texts[0])), event(t,
			eventJSON(score.TypeScorePlay, texts[1]))
		a, errA := score.MarshalData(first.Data)
		b, errB := score.MarshalData(second.Data)
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Errorf("%s and %s: %v, %v", a, b, errA, errB)
		}
	}
}

func TestUnmarshalDataRefusesUnknownTypesAndMembers(t *testing.T) {
	if _, err := score.UnmarshalData("score.goal", []byte(`{}`)); err == nil ||
		!strings.Contains(err.Error(), "score.goal") {
		t.Errorf("an unknown type: %v", err)
	}
	for _, text := range []string{`{"text":"x","more":1}`, `{"text":`, `[]`, ``} {
		if _, err := score.UnmarshalData(score.TypeAlert, []byte(text)); err == nil {
			t.Errorf("%s was accepted", text)
		}
	}
}

func TestTheCompetitionIsTheFirstSegment(t *testing.T) {
	for id, want := range map[string]string{"OG2024": "OG2024", "OG2024/a/b": "OG2024", "": ""} {
		if got := score.CompetitionOf(id); got != want {
			t.Errorf("of %q it is %q", id, got)
		}
	}
}
