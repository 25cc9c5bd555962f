package score_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"laurel/score"
)

func TestIdentifiersThatLookAlikeAreRefused(t *testing.T) {
	for code, detail := range map[string]string{
		" 42":             `has a blank at an end: " 42"; want "42"`,
		"42 ":             `has a blank at an end`,
		"4  2":            `two blanks in a row`,
		"42\u200b":        `has U+200B, which cannot be seen: "42\u200b"`,
		"\ufeff42":        `U+FEFF`,
		"4\u00ad2":        `U+00AD`,
		"4\u20602":        `U+2060`,
		"42\u202e":        `U+202E`,
		"42\u2028":        `U+2028`,
		"42\ufe0f":        `U+FE0F`,
		"42\u034f":        `U+034F`,
		"\u3164":          `U+3164`,
		"42\u2800":        `U+2800`,
		"4\u00a02":        `has the blank U+00A0, which looks like U+0020`,
		"4\u30002":        `the blank U+3000`,
		"Jose\u0301":      `is not in Unicode's normalization form C: got "Jose\u0301"; want "Jos\u00e9"`,
		"\u212b":          `want "\u00c5"`, // the sign of Ångström
		"\u1112\u1161":    `want "\ud558"`, // Hangul in parts
		"José":            "",
		"Åland":           "",
		"4 2":             "",
		"４２":              "", // other characters, which look different
		"\u0410\u0412C":   "", // look-alikes of other scripts are not judged
		"A&B/C+D":         "",
		"木村":              "",
		"\U0001f9a9 club": "",
	} {
		quoted := strings.ReplaceAll(fmt.Sprintf("%q", code), `\U0001f9a9`, "\U0001f9a9")
		for field, e := range map[string]string{
			"data.competitor": `"type":"result.set","data":{"competitor":%s,"split":"x","mark":1}`,
			"data.split":      `"type":"result.set","data":{"competitor":"a","split":%s,"mark":1}`,
			"data.category":   `"type":"result.set","data":{"competitor":"a","split":"x","mark":1,"category":%s}`,
			"data.result":     `"type":"score.set","data":{"result":{%s:1}}`,
			"data.period":     `"type":"score.play","data":{"competitor":"a","delta":1,"period":%s}`,
			"data.splits":     `"type":"contest.define","data":{"kind":"ranked","sport":"x","splits":[%s]}`,
			"data.award_id":   `"type":"medal.award","data":{"award_id":%s,"medal":"GOLD","organisation":"A"}`,
			"data.competitors.0.code": `"type":"contest.define","data":{"kind":"ranked","sport":"x",` +
				`"competitors":[{"code":%s}]}`,
			"data.competitors.0.organisation": `"type":"contest.define","data":{"kind":"ranked","sport":"x",` +
				`"competitors":[{"code":"a","organisation":%s}]}`,
			"id": `"id":%s,"type":"alert","data":{"text":"t"}`,
		} {
			_, p := score.Decode(fmt.Appendf(nil, `{"contest_id":"G/1",`+e+`}`, quoted))
			switch {
			case detail == "" && p != nil:
				t.Errorf("%+q in %s is refused: %v", code, field, p)
			case detail != "" && (p == nil || p.Field != field || !strings.Contains(p.Detail, detail)):
				t.Errorf("%+q in %s: got %v; want %q", code, field, p, detail)
			}
		}
	}
}

// The version of Unicode of a frontend must not decide what it applies.
func TestIdentifiersAreNotJudgedWhenAnEventIsApplied(t *testing.T) {
	e := score.Event{ID: " e", Source: "s", Type: score.TypeResultSet, ContestID: "G/1", Time: time.Now()}
	if p := e.ReadData([]byte(`{"competitor":"42 ","split":"x","mark":1}`)); p != nil {
		t.Fatal(p)
	}
	if p := e.CheckEnvelope(); p != nil {
		t.Error(p)
	}
	if p := e.CheckData(); p != nil {
		t.Error(p)
	}
	if p := e.CheckIdentifiers(); p == nil || p.Field != "id" {
		t.Error(p)
	}
}
