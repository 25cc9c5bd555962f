package httpapi

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"laurel/httpapi/admin"
	"laurel/httpapi/question"
	"laurel/score"
	"laurel/score/medal"
	"laurel/trust/access"
	"laurel/trust/pki"
)

func openAPI(t *testing.T) map[string]any {
	t.Helper()
	b, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := parseYAML(string(b))
	if err != nil {
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
	_, a := newFake(t, Options{})
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
			if ref := "#/components/" + kind + "/" + name; !used[ref] && name != "Retry-After" && kind != "securitySchemes" {
				t.Errorf("nothing refers to %s", ref)
			}
		}
	}
}

func TestOpenAPISchemasHaveTheMembersThatAreWritten(t *testing.T) {
	doc := openAPI(t)
	schemas := map[string]any{
		"Event": score.Event{}, "Entrant": score.Entrant{}, "Result": score.Result{}, "Score": score.Record{}, "Placed": score.Standing{}, "TimelineEvent": score.TimelineEvent{},
		"Medals": medal.Standings{}, "MedalRow": medal.Row{}, "Bard": score.Bard{}, "Leaderboard": score.Leaderboard{}, "LeaderboardRow": score.LeaderboardRow{}, "Frontends": score.Frontends{}, "Frontend": score.Frontend{},
		"NewMember": score.NewMember{}, "Problem": score.Problem{}, "ScorePage": question.ScorePage{}, "TimelinePage": question.TimelinePage{},
		"Access": access.View{}, "Grant": access.Grant{}, "JoinToken": access.JoinTokenView{}, "Authority": access.AuthorityView{}, "NewGrant": access.GrantRequest{},
		"Granted": access.GrantResponse{}, "NewJoinToken": access.JoinTokenRequest{}, "JoinTokenMade": access.JoinTokenResponse{}, "Enrollment": pki.EnrollRequest{}, "Issued": pki.IssuedCertificate{},
		"AuditPage": access.AuditPage{}, "Audit": access.AuditEntry{}, "KeyPage": admin.KeyPage{}, "Key": access.KeyView{},
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
		if got := keysOf(t, doc, "components", "schemas", name, "properties"); !slices.Equal(got, want) {
			t.Errorf("%s has %v in openapi.yaml and %v in Go", name, got, want)
		}
	}
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
	if got := words(at(t, doc, "components", "schemas", "Event", "properties", "type", "enum")); !slices.Equal(got, types) {
		t.Errorf("types: %v", got)
	}
	if got := words(at(t, doc, "components", "schemas", "Problem", "properties", "code", "enum")); !slices.Equal(got, codes) {
		t.Errorf("codes: %v", got)
	}
}

// parseYAML reads the part of YAML that openapi.yaml keeps to: block mappings and sequences indented by two, plain and double-quoted
// scalars, folded text (>-), and flow lists and mappings on one line.
func parseYAML(s string) (map[string]any, error) {
	y := &yaml{}
	for i, text := range strings.Split(s, "\n") {
		trimmed := strings.TrimLeft(text, " ")
		if trimmed == "" {
			continue
		}
		indent := len(text) - len(trimmed)
		if indent%2 != 0 || strings.ContainsRune(text, '\t') || strings.TrimRight(text, " ") != text {
			return nil, fmt.Errorf("line %d: want two spaces a level, no tabs and nothing behind: %q", i+1, text)
		}
		y.lines = append(y.lines, yamlLine{i + 1, indent, trimmed})
	}
	v, err := y.block(0)
	if err == nil && len(y.lines) > 0 {
		err = fmt.Errorf("line %d: unexpected indent", y.lines[0].number)
	}
	doc, _ := v.(map[string]any)
	return doc, err
}

type yamlLine struct {
	number, indent int
	text           string
}

type yaml struct{ lines []yamlLine }

var yamlKey = regexp.MustCompile(`^("[^"]*"|[A-Za-z0-9$/][^\s:"]*):(?: (.*))?$`)

// block reads the mapping or the sequence whose lines have this indent.
func (y *yaml) block(indent int) (any, error) {
	var list []any
	mapping := map[string]any{}
	for len(y.lines) > 0 && y.lines[0].indent == indent {
		line := &y.lines[0]
		if rest, ok := strings.CutPrefix(line.text, "- "); ok {
			var v any
			var err error
			if yamlKey.MatchString(rest) {
				line.indent, line.text = indent+2, rest
				v, err = y.block(indent + 2)
			} else {
				y.lines = y.lines[1:]
				v, err = yamlScalar(rest)
			}
			if err != nil {
				return nil, err
			}
			list = append(list, v)
			continue
		}
		m := yamlKey.FindStringSubmatch(line.text)
		key := ""
		if m != nil {
			key = strings.Trim(m[1], `"`)
		}
		if _, twice := mapping[key]; m == nil || twice {
			return nil, fmt.Errorf("line %d: want a key that is not there yet: %q", line.number, line.text)
		}
		number := line.number
		y.lines = y.lines[1:]
		v, err := y.value(m[2], indent)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		mapping[key] = v
	}
	switch {
	case list != nil && len(mapping) > 0:
		return nil, fmt.Errorf("a sequence and a mapping in one block")
	case list != nil:
		return list, nil
	}
	return mapping, nil
}

// value reads what belongs to a key: the rest of its line, or the lines indented below it.
func (y *yaml) value(rest string, indent int) (any, error) {
	deeper := len(y.lines) > 0 && y.lines[0].indent > indent
	switch {
	case rest == ">-" && deeper:
		var text []string
		for len(y.lines) > 0 && y.lines[0].indent > indent {
			text = append(text, y.lines[0].text)
			y.lines = y.lines[1:]
		}
		return strings.Join(text, " "), nil
	case rest == "" && deeper:
		return y.block(indent + 2)
	case rest == "" || deeper:
		return nil, fmt.Errorf("want one value")
	}
	return yamlScalar(rest)
}

func yamlScalar(s string) (any, error) {
	if s == "" {
		return nil, fmt.Errorf("want a value")
	}
	first, last := s[0], s[len(s)-1]
	inner := strings.TrimSpace(s[1 : len(s)-min(1, len(s)-1)])
	switch {
	case first == '"' && last == '"' && len(s) > 1:
		return strings.Trim(s, `"`), nil
	case first == '[' && last == ']':
		var list []any
		for part := range strings.SplitSeq(inner, ",") {
			v, err := yamlScalar(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case first == '{' && last == '}':
		return inner, nil
	case strings.ContainsRune("\"'[]{}&*!|>%@`#,", rune(first)) || strings.Contains(s, ": ") || strings.Contains(s, " #"):
		return nil, fmt.Errorf("%q needs quotes", s)
	}
	return s, nil
}
