package score_test

import (
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"laurel/score"
)

// seeds are events like those of real streams.
var seeds = []string{
	`{"id":"og50bc-000001","source":"bard/og50bc","seq":1,"type":"contest.define","time":"2026-02-09T08:00:00-04:00","contest_id":"OG50BC/OPEN","data":{"competition":"OG50BC","discipline":"ATH","event":"Marathon","kind":"ranked","phase":"final","result_type":"TIME","sort":"asc","splits":["5k","10k","half","finish"],"sport":"athletics","start_time":"2026-02-09T09:17:00-04:00","title":"Marathon","unit":"min"}}`,
	`{"id":"og50bc-000002","source":"bard/og50bc","seq":2,"type":"contest.define","time":"2026-02-09T08:00:00Z","contest_id":"OG50BC/M-01","data":{"competition":"OG50BC","competition_name":"The Games","competitors":[{"code":"GAU","name":"Gaul","order":1,"organisation":"GAU","type":"T"},{"code":"ROM","name":"Rome","order":2,"organisation":"ROM","type":"T"}],"group":"Group 1","kind":"head_to_head","phase":"group stage","result_type":"POINTS","sort":"desc","sport":"football","tiebreak_periods":["SO"]}}`,
	`{"id":"og50bc-000003","source":"bard/og50bc","seq":3,"type":"contest.status","time":"2026-02-09T09:00:00Z","contest_id":"OG50BC/M-01","data":{"period":"H1","result_status":"LIVE","schedule_status":"RUNNING"}}`,
	`{"id":"og50bc-000004","source":"bard/og50bc","seq":4,"type":"score.play","time":"2026-02-09T09:19:00Z","contest_id":"OG50BC/M-01","data":{"action":"GOAL","athlete":"Astérix","clock":"19'","competitor":"GAU","delta":1,"period":"H1","result":{"ROM":0,"GAU":1},"stats_delta":{"corners":1}}}`,
	`{"id":"og50bc-000005","source":"bard/og50bc","seq":5,"type":"result.set","time":"2026-02-09T09:25:52.19-04:00","contest_id":"OG50BC/OPEN","data":{"category":"M","competitor":"W20","mark":8.87,"organisation":"GAU","split":"5k"}}`,
	`{"id":"og50bc-000006","source":"bard/og50bc","seq":6,"type":"medal.award","time":"2026-02-09T17:11:00Z","contest_id":"OG50BC","data":{"award_id":"OG50BC#1","competitor":"GAU","medal":"GOLD","organisation":"GAU"}}`,
	`{"type":"medal.revoke","contest_id":"OG50BC","data":{"award_id":"OG50BC#1","comment":"score inquiry found late","reason":"CAS"}}`,
	`{"type":"score.set","contest_id":"OG50BC/M-01","data":{"result":{"GAU":2},"reason":"jury"}}`,
	`[{"type":"event.void","contest_id":"OG50BC/M-01","data":{"voids":"og50bc-000004","reason":"typing error"}},{"type":"alert","contest_id":"OG50BC","data":{"text":"rain"}}]`,
	`{"type":"competition.define","contest_id":"OG50BC","data":{"name":"The Games","neutral":["AIN"]}}`,
	`{"type":"competition.define","contest_id":"OG50BC","data":{"name":null,"organisations":[{"code":"GAU","name":"Gaul"}]}}`,
	`{"type":"contest.define","contest_id":"OG50BC/OPEN","data":{"splits":null,"unit2":"min","sort2":"desc","precision":0,"reason":"jury"}}`,
	`{"type":"contest.decide","contest_id":"OG50BC/M-01","data":{"winner":"GAU","decision":"RULE","reason":"rain"}}`,
	`{"type":"contest.reset","contest_id":"OG50BC/M-01","data":{"reason":"replay"}}`,
	`{"type":"competitor.define","contest_id":"OG50BC/OPEN","data":{"competitor":"Jose\u0301","name":null,"order":-3,"categories":["F","O"]}}`,
	`{"type":"result.set","contest_id":"OG50BC/OPEN","data":{"competitor":"W20","split":"finish","mark":"2:11:31.2","mark2":"0:10","place":2}}`,
	`{"type":"score.set","contest_id":"OG50BC/M-01","data":{"result":{"GAU":2},"adjustment":true}}`,
}

func FuzzDecode(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		events, p := score.DecodeArray(b)
		if p != nil {
			checkProblem(t, p)
			return
		}
		if len(events) == 0 {
			t.Fatalf("%d events", len(events))
		}
		for i := range events {
			checkAccepted(t, &events[i])
		}
	})
}

func checkProblem(t *testing.T, p *score.Problem) {
	if p.Detail == "" || len(p.Detail) > 2000 || len(p.Field) > 600 || !utf8.ValidString(p.Detail) || p.Status < 400 ||
		p.Status > 499 {
		t.Fatalf("the problem is %+v", p)
	}
	if _, err := json.Marshal(p); err != nil {
		t.Fatalf("%+v cannot be answered: %v", p, err)
	}
}

// checkAccepted checks that an event and its data survive writing and reading.
func checkAccepted(t *testing.T, e *score.Event) {
	data, err := score.MarshalData(e.Data)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	again, p := score.Decode(whole)
	if p != nil {
		t.Fatalf("%s was accepted, and refused as %s: %v", data, whole, p)
	}
	if b, err := score.MarshalData(again.Data); err != nil || string(b) != string(data) {
		t.Fatalf("%s became %s, %v", data, b, err)
	}
	if again.ID != e.ID || again.Source != e.Source || again.Seq != e.Seq || again.Type != e.Type ||
		again.ContestID != e.ContestID || !again.Time.Equal(e.Time) ||
		again.TimeGiven != e.TimeGiven || again.IDGiven != e.IDGiven {
		t.Fatalf("%+v became %+v", e, again)
	}
	back, err := score.UnmarshalData(e.Type, data)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := score.MarshalData(back); err != nil || string(b) != string(data) {
		t.Fatalf("%s became %s, %v", data, b, err)
	}
}
