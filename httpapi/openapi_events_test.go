package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"laurel/score"
	"laurel/trust/access"
)

// bases are the data to which a member is added, one after the other. Those of other types
// are what their schema requires.
var bases = map[score.Type][]map[string]any{
	score.TypeContestDefine: {{"kind": "ranked", "sport": "x"}, {"kind": "head_to_head", "sport": "x"}},
	score.TypeContestStatus: {{"period": "x"}},
	score.TypeContestDecide: {{"decision": "RULE"}, {"decision": "RULE", "winner": "x"}},
	score.TypeResultSet:     {{"competitor": "x", "split": "x", "mark": 1}, {"competitor": "x", "split": "x"}},
	score.TypeEventVoid:     {{"voids": "x", "reason": "x"}, {"voids_source": "x", "voids_seq": 1, "reason": "x"}},
}

// document is openapi.yaml, of which it reads schemas.
type document struct {
	t   *testing.T
	all map[string]any
}

// of returns the schema of the data of a type.
func (d document) of(typ score.Type) map[string]any {
	data, err := score.UnmarshalData(typ, []byte("{}"))
	if err != nil {
		d.t.Fatal(err)
	}
	return at(d.t, d.all, "components", "schemas", reflect.TypeOf(data).Elem().Name()).(map[string]any)
}

// schema returns a schema with the members of the one that it refers to.
func (d document) schema(v any) map[string]any {
	s := maps.Clone(v.(map[string]any))
	if ref, ok := s["$ref"].(string); ok {
		of := d.schema(at(d.t, d.all, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...))
		maps.Copy(of, s)
		return of
	}
	return s
}

func kindOf(s map[string]any) (kind string, null bool) {
	switch v := s["type"].(type) {
	case string:
		return v, false
	case []any:
		return v[0].(string), slices.Contains(v, any("null"))
	}
	return "", false
}

// values returns the values at the limits of a schema, and values beyond them.
func (d document) values(s map[string]any) (permitted, refused []any) {
	if choices, ok := s["enum"].([]any); ok {
		return choices, []any{"EARTHQUAKE"}
	}
	kind, null := kindOf(s)
	if null {
		permitted = append(permitted, nil)
	}
	number := func(name string, otherwise int) int {
		if n, ok := s[name].(int); ok {
			return n
		}
		return otherwise
	}
	switch {
	case kind == "string" && s["format"] == "date-time":
		permitted, refused = append(permitted, "2026-02-09t10:16:40.5+01:00"), []any{"today"}
	case kind == "string":
		most := number("maxLength", -1)
		if most < 0 {
			d.t.Errorf("no maxLength: %v", s)
		}
		permitted = append(permitted, strings.Repeat("x", most))
		refused = []any{strings.Repeat("x", most+1)}
		if number("minLength", 0) > 0 {
			refused = append(refused, "")
		}
	case kind == "integer":
		permitted = append(permitted, number("minimum", 1), number("maximum", 1))
		if n, ok := s["maximum"].(int); ok {
			refused = append(refused, n+1)
		}
	case kind == "array":
		most := number("maxItems", 0)
		items := func(n int) (list []any) {
			for i := range n {
				list = append(list, d.item(s["items"], i))
			}
			return list
		}
		permitted, refused = append(permitted, items(most)), []any{items(most + 1)}
		if s["uniqueItems"] == true {
			refused = append(refused, []any{"x", "x"})
		}
	case kind == "boolean":
		permitted = []any{true, false}
	case kind == "number":
		permitted, refused = []any{1.5}, []any{"x"}
	case kind == "object":
		permitted = []any{map[string]any{"x": 1}}
		if number("minProperties", 0) > 0 {
			refused = []any{map[string]any{}}
		}
	case s["anyOf"] != nil:
		permitted, refused = []any{1.5, "2:10:59"}, []any{"x", "2:99"}
	default:
		d.t.Errorf("unknown schema %v", s)
	}
	return permitted, refused
}

// item returns the i-th member of a list.
func (d document) item(v any, i int) any {
	s := d.schema(v)
	if kind, _ := kindOf(s); kind == "object" {
		return map[string]any{"code": fmt.Sprint(i)}
	}
	return fmt.Sprint(i)
}

func decodes(t *testing.T, typ score.Type, data map[string]any) *score.Problem {
	t.Helper()
	id := "OG50BC/1"
	if typ == score.TypeCompetitionDefine {
		id = "OG50BC"
	}
	b, err := json.Marshal(map[string]any{"type": typ, "contest_id": id, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	_, p := score.Decode(b)
	return p
}

func TestWhatOpenAPIPermitsIsDecodedAndNothingMore(t *testing.T) {
	doc := document{t, openAPI(t)}
	for _, typ := range score.Types {
		s := doc.of(typ)
		properties := s["properties"].(map[string]any)
		required := map[string]any{}
		names, _ := s["required"].([]any)
		for _, r := range words(names) {
			permitted, _ := doc.values(doc.schema(properties[r]))
			required[r] = permitted[len(permitted)-1]
		}
		of := bases[typ]
		if of == nil {
			of = []map[string]any{required}
		}
		for member, v := range properties {
			// It decodes if it does with one of the bases.
			try := func(value any) (p *score.Problem) {
				for _, base := range of {
					data := maps.Clone(base)
					if data[member] = value; member == "irm" {
						delete(data, "mark")
					}
					if p = decodes(t, typ, data); p == nil {
						return nil
					}
				}
				return p
			}
			permitted, refused := doc.values(doc.schema(v))
			for _, value := range permitted {
				// A competition has the name that its contests say.
				if p := try(value); p != nil && member != "competition" {
					t.Errorf("%s: %s of %.60s: %v", typ, member, fmt.Sprint(value), p)
				}
			}
			for _, value := range refused {
				if p := try(value); p == nil {
					t.Errorf("%s: %s of %.60s is accepted", typ, member, fmt.Sprint(value))
				}
			}
		}
		for r := range required {
			data := maps.Clone(of[0])
			delete(data, r)
			if decodes(t, typ, data) == nil {
				t.Errorf("%s: %s is not required", typ, r)
			}
		}
	}
}

func TestOpenAPIHasAnExampleOfEveryEvent(t *testing.T) {
	examples := at(t, openAPI(t), "paths", "/v1/events", "post", "requestBody", "content", "application/json", "examples")
	var got []string
	for name, example := range examples.(map[string]any) {
		b, err := json.Marshal(at(t, example, "value"))
		if err != nil {
			t.Fatal(err)
		}
		e, p := score.Decode(b)
		if p != nil || string(e.Type) != name {
			t.Errorf("%s: %s: %v", name, b, p)
		}
		got = append(got, name)
	}
	var want []string
	for _, typ := range score.Types {
		want = append(want, string(typ))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

func TestOpenAPIAllowsNullWhereItClears(t *testing.T) {
	doc := document{t, openAPI(t)}
	for _, typ := range []score.Type{score.TypeCompetitionDefine, score.TypeContestDefine, score.TypeCompetitorDefine} {
		for member, v := range doc.of(typ)["properties"].(map[string]any) {
			data, err := score.UnmarshalData(typ, fmt.Appendf(nil, "{%q:null}", member))
			if err != nil {
				t.Fatal(err)
			}
			e := score.Event{Type: typ, Data: data}
			p := e.CheckData()
			clears := data.(interface{ Clears(string) bool }).Clears(member) && (p == nil || p.Field != "data."+member)
			if _, allowed := kindOf(doc.schema(v)); allowed != clears {
				t.Errorf("%s of %s: null clears it: %v; openapi.yaml allows null: %v", member, typ, clears, allowed)
			}
		}
	}
}

func TestOpenAPINamesTheStatusOfEveryRefusal(t *testing.T) {
	doc := openAPI(t)
	posts := keysOf(t, doc, "paths", "/v1/events", "post", "responses")
	for _, code := range score.Codes() {
		if status := fmt.Sprint(code.HTTPStatus()); !slices.Contains(posts, status) {
			t.Errorf("a post is not answered with %s (%s)", status, code)
		}
	}
	// In a private group nobody reads without a token.
	g, a := newTestAPI(t, Options{})
	newGuardedGroup(t, g)
	g.store.change(access.SettingPrivate, "true")
	s := serve(t, a, a.Handler())
	name := regexp.MustCompile(`{[^}]*}`)
	for _, path := range keysOf(t, doc, "paths") {
		if !slices.Contains(keysOf(t, doc, "paths", path), "get") {
			continue
		}
		got := fmt.Sprint(ask(t, s, "GET", name.ReplaceAllString(path, "OG50BC"), "").StatusCode)
		if !slices.Contains(keysOf(t, doc, "paths", path, "get", "responses"), got) {
			t.Errorf("GET %s is answered with %s, which openapi.yaml does not have", path, got)
		}
	}
}

func TestUnknownParametersAreRefusedByEveryMethod(t *testing.T) {
	doc := openAPI(t)
	_, s := start(t)
	name := regexp.MustCompile(`{[^}]*}`)
	for _, path := range keysOf(t, doc, "paths") {
		for _, method := range keysOf(t, doc, "paths", path) {
			if !strings.HasPrefix(path, "/v1/") {
				continue
			}
			body := ""
			if method == "post" || method == "put" {
				body = "{}"
			}
			url := name.ReplaceAllString(path, "OG50BC") + "?boar=1"
			p := ask(t, s, strings.ToUpper(method), url, body, isJSON).problem(t)
			if p.Status != 400 || p.Field != "boar" {
				t.Errorf("%s %s: got %+v", method, url, p)
			}
		}
	}
}
