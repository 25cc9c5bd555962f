package httpapi

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"laurel/httpapi/admin"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/medal"
	"laurel/score/ranking"
	"laurel/trust/access"
	"laurel/trust/pki"
	"laurel/witness"
)

func openAPI(t *testing.T) map[string]any {
	t.Helper()
	b, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// at follows keys down into a document.
func at(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("openapi.yaml has no %s", strings.Join(keys, " > "))
		}
		v = m[k]
	}
	return v
}

// keysOf are the keys of a mapping of the document, in order.
func keysOf(t *testing.T, doc any, path ...string) []string {
	t.Helper()
	return slices.Sorted(maps.Keys(at(t, doc, path...).(map[string]any)))
}

func words(list any) (all []string) {
	for _, v := range list.([]any) {
		all = append(all, v.(string))
	}
	slices.Sort(all)
	return all
}

func TestOpenAPINamesEveryRouteAndNoOther(t *testing.T) {
	doc := openAPI(t)
	_, a := newTestAPI(t, Options{})
	pattern := regexp.MustCompile(`:[^}]*}`)
	var want, got []string
	for _, rt := range a.clientServer().routes() {
		want = append(want, strings.ToLower(rt.method)+" "+pattern.ReplaceAllString(rt.pattern, "}"))
	}
	for _, path := range keysOf(t, doc, "paths") {
		for _, method := range keysOf(t, doc, "paths", path) {
			got = append(got, method+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("openapi.yaml has\n%s\nthe router has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOpenAPIReferencesLeadSomewhere(t *testing.T) {
	doc := openAPI(t)
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			}
			for _, w := range v {
				walk(w)
			}
		case []any:
			for _, w := range v {
				walk(w)
			}
		}
	}
	walk(doc)
	for _, kind := range keysOf(t, doc, "components") {
		for _, name := range keysOf(t, doc, "components", kind) {
			if ref := "#/components/" + kind + "/" + name; !used[ref] && name != "Retry-After" &&
				kind != "securitySchemes" {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
}

func TestOpenAPISchemasHaveTheMembersThatAreWritten(t *testing.T) {
	doc := openAPI(t)
	schemas := map[string]any{
		"Event": score.Event{}, "Entrant": score.Entrant{}, "Result": score.Result{}, "Score": score.Record{},
		"Placed": score.Standing{}, "TimelineEvent": score.TimelineEvent{},
		"Medals": medal.Standings{}, "MedalRow": medal.Row{}, "Bard": score.Bard{}, "Leaderboard": ranking.Leaderboard{},
		"LeaderboardRow": ranking.Row{}, "Frontends": score.Frontends{}, "Frontend": score.Frontend{},
		"NewMember": score.NewMember{}, "Problem": score.Problem{},
		"PostedEvents": score.Posted{}, "PostedEvent": score.PostedEvent{}, "ScorePage": question.ScorePage{},
		"TimelinePage": question.TimelinePage{}, "StartListPage": score.StartListPage{},
		"Access": access.View{}, "Grant": access.Grant{}, "JoinToken": access.JoinTokenView{},
		"Authority": access.AuthorityView{}, "NewGrant": access.GrantRequest{},
		"Granted": access.GrantResponse{}, "NewJoinToken": access.JoinTokenRequest{},
		"JoinTokenMade": access.JoinTokenResponse{}, "Enrollment": admin.EnrollRequest{},
		"Issued":    pki.IssuedCertificate{},
		"AuditPage": access.AuditPage{}, "Audit": access.AuditEntry{}, "KeyPage": access.KeyPage{},
		"Key": access.KeyView{}, "Roster": access.RosterView{}, "Operator": access.OperatorView{},
		"SignedChange": access.SignedChange{}, "Question": witness.Question{}, "Statement": witness.Statement{},
		"Proven": witness.Proven{},
	}
	for _, typ := range score.Types {
		data, err := score.UnmarshalData(typ, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		of := reflect.TypeOf(data).Elem()
		schemas[of.Name()] = reflect.Zero(of).Interface()
	}
	for name, v := range schemas {
		want := members(reflect.TypeOf(v))
		slices.Sort(want)
		if got := propertiesOf(t, doc, name); !slices.Equal(got, want) {
			t.Errorf("%s has %v in openapi.yaml and %v in Go", name, got, want)
		}
	}
}

// propertiesOf are the names of the properties of a schema, and of those that it includes.
func propertiesOf(t *testing.T, doc any, name string) []string {
	t.Helper()
	names := keysOf(t, doc, "components", "schemas", name, "properties")
	if all, ok := at(t, doc, "components", "schemas", name).(map[string]any)["allOf"].([]any); ok {
		for _, one := range all {
			ref := at(t, one, "$ref").(string)
			names = append(names, propertiesOf(t, doc, ref[strings.LastIndexByte(ref, '/')+1:])...)
		}
	}
	slices.Sort(names)
	return names
}

// members are the names of a struct's members in JSON.
func members(t reflect.Type) (names []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, members(f.Type)...)
		case name != "" && name != "-":
			names = append(names, name)
		}
	}
	return names
}

func TestOpenAPINamesEveryTypeAndCode(t *testing.T) {
	doc := openAPI(t)
	var types, codes []string
	for _, x := range score.Types {
		types = append(types, string(x))
	}
	for _, c := range score.Codes() {
		codes = append(codes, string(c))
	}
	slices.Sort(types)
	slices.Sort(codes)
	if got := words(at(t, doc, "components", "schemas", "Event", "properties", "type", "enum")); !slices.Equal(got,
		types) {
		t.Errorf("types: %v", got)
	}
	if got := words(at(t, doc, "components", "schemas", "Problem", "properties", "code", "enum")); !slices.Equal(got,
		codes) {
		t.Errorf("codes: %v", got)
	}
}
