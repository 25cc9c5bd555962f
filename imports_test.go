package laurel

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "laurel"
	raft   = "github.com/hashicorp/raft"
	json   = "github.com/go-json-experiment/json"
)

// rule says what the packages under one top-level directory may import. Tests may import more of ours, but never cmd.
type rule struct {
	ours []string // top-level directories of this module
	// others lists the other people's modules that are allowed, where not all are.
	others []string
	strict bool
	never  []string
}

// layout is the architecture: every top-level directory with Go files, and the direction in which they depend on each other.
var layout = map[string]rule{
	"score":   {strict: true, others: []string{json}},
	"cache":   {strict: true},
	"fsm":     {ours: []string{"score"}},
	"trust":   {strict: true},
	"cluster": {ours: []string{"score", "fsm", "cache", "trust"}},
	"httpapi": {ours: []string{"score", "cache", "trust"}, never: []string{raft}},
	"client":  {ours: []string{"score", "trust"}, never: []string{raft}},
	// What internal needs, it may import; score, cache and fsm never import it.
	"internal": {ours: []string{"score", "cache", "fsm", "cluster", "httpapi", "client", "trust", "internal"}},
	"cmd":      {ours: []string{"score", "cache", "fsm", "cluster", "httpapi", "client", "trust", "cmd", "internal"}},
}

// raftOfFSM is the only file of fsm that knows hashicorp/raft: the rest of the state machine can be tested and read without it.
const raftOfFSM = "fsm/raft.go"

func TestPackagesImportOnlyWhatTheLayoutAllows(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case d.IsDir() && path != "." && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(name) != ".go" || !strings.Contains(path, string(filepath.Separator)):
			return nil
		}
		files++
		return checkFile(t, filepath.ToSlash(path))
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no Go file found")
	}
}

func checkFile(t *testing.T, path string) error {
	top, _, _ := strings.Cut(path, "/")
	r, known := layout[top]
	if !known {
		t.Errorf("%s: %s is not a part of the layout; put the file where it belongs, or add the directory to layout with its rule", path, top)
		return nil
	}
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.ImportsOnly)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(path, "_test.go")
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if why := r.objection(top, imported, test); why != "" {
			t.Errorf("%s imports %s: %s", path, imported, why)
		}
		if top == "fsm" && path != raftOfFSM && !test && within(imported, raft) {
			t.Errorf("%s imports %s: only %s knows it", path, imported, raftOfFSM)
		}
	}
	return nil
}

// objection says why a file under top may not import a package, or nothing.
func (r rule) objection(top, imported string, test bool) string {
	switch of, ours := strings.CutPrefix(imported, module+"/"); {
	case ours:
		of, _, _ = strings.Cut(of, "/")
		switch {
		case of == top:
		case of == "cmd":
			return "nobody imports cmd"
		case !test && !slices.Contains(r.ours, of):
			return top + " may import, of ours, only: " + strings.Join(r.ours, ", ")
		}
	case test || !otherPeoples(imported):
	case slices.ContainsFunc(r.never, func(m string) bool { return within(imported, m) }):
		return top + " must not know it"
	case r.strict && !slices.ContainsFunc(r.others, func(m string) bool { return within(imported, m) }):
		return top + " stays with the standard library" + strings.Join(append([]string{""}, r.others...), " and ")
	}
	return ""
}

// otherPeoples tells a third party's package from one of the standard library, whose first element has no dot.
func otherPeoples(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}

func within(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}
