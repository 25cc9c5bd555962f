package laurel

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	pathpkg "path"
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
	norm   = "golang.org/x/text/unicode/norm"
	note   = "golang.org/x/mod/sumdb/note"
)

// rule is what the packages under one directory may import. Tests may import more of ours, but
// never cmd.
type rule struct {
	ours []string // directories of this module
	// others lists the other people's modules that are allowed, where not all are.
	others []string
	strict bool
	never  []string
}

// layout is the architecture: the directories with Go files, and the direction in which they depend
// on each other. The rule of the nearest directory above a file holds for it.
var layout = map[string]rule{
	"score":         {strict: true, others: []string{json, norm}},
	"cache":         {strict: true},
	"cache/pull":    {ours: []string{"cache"}, strict: true},
	"cache/queries": {ours: []string{"score", "trust/access"}, strict: true, others: []string{json}},
	"fsm":           {ours: []string{"score", "cache/queries", "trust/access", "trust/signing", "witness"}},
	// The parts of the state machine do not know the machine, and each other only as listed.
	"fsm/entry":       {ours: []string{"score", "trust/access", "trust/signing"}},
	"fsm/database":    {ours: []string{"trust/access"}},
	"fsm/past":        {},
	"fsm/head":        {ours: []string{"trust/access", "fsm/database"}},
	"fsm/archive":     {ours: []string{"trust/access", "fsm/database", "fsm/head", "fsm/timeline"}},
	"fsm/incarnation": {ours: []string{"trust/access", "fsm/database", "fsm/entry", "fsm/head", "fsm/rounds"}},
	"fsm/identity":    {ours: []string{"score", "fsm/database", "fsm/entry"}},
	"fsm/index":       {ours: []string{"score", "fsm/database"}},
	"fsm/export":      {ours: []string{"score", "trust/access", "fsm/database", "fsm/entry", "fsm/head", "fsm/timeline"}},
	"fsm/leaderboard": {ours: []string{"score"}},
	"fsm/ranked":      {ours: []string{"score", "fsm/database", "fsm/index", "fsm/leaderboard"}},
	"fsm/rounds":      {ours: []string{"fsm/database", "trust/merkle", "witness"}},
	"fsm/timeline":    {ours: []string{"score", "fsm/database", "fsm/entry"}},
	"fsm/view": {ours: []string{
		"score", "trust/access", "fsm/database", "fsm/identity", "fsm/index", "fsm/ranked", "fsm/timeline",
	}},
	"trust/signing": {ours: []string{"score", "trust/merkle"}, strict: true, others: []string{json}},
	"trust/merkle":  {strict: true},
	"trust/access":  {ours: []string{"score", "trust/operator"}, strict: true, others: []string{json}},
	// What operators sign.
	"trust/operator": {ours: []string{"score"}, strict: true},
	"trust/keyfile":  {strict: true},
	"trust/pki":      {ours: []string{"internal/address"}, strict: true},
	"backup":         {ours: []string{"internal/address"}, never: []string{raft}},
	"backup/s3":      {strict: true},
	"witness":        {ours: []string{"trust/merkle"}, strict: true, others: []string{note}},
	"cluster":        {ours: []string{"score", "fsm", "cache", "trust", "witness", "internal"}},
	// The parts of a member do not know the member, and each other only as listed.
	"cluster/autopilot": {strict: true},
	"cluster/certify":   {ours: []string{"score", "fsm", "trust/access", "witness", "cluster/peer"}},
	"cluster/forward":   {ours: []string{"score", "trust/access", "cluster/join", "cluster/peer", "cluster/status"}},
	"cluster/forming":   {ours: []string{"score", "trust/pki", "internal/address"}},
	"cluster/join":      {ours: []string{"score", "trust/pki", "internal/address", "cluster/peer", "cluster/status"}},
	"cluster/metrics":   {ours: []string{"score", "cluster/snapshots"}},
	"cluster/poll":      {ours: []string{"score", "cache", "fsm", "cluster/peer", "cluster/readindex", "cluster/status"}},
	"cluster/standing":  {ours: []string{"score", "fsm", "trust/access", "trust/pki", "witness", "cluster/certify", "cluster/peer", "cluster/raftlog"}},
	"cluster/recovery": {ours: []string{
		"fsm", "fsm/incarnation", "trust/access", "trust/pki", "internal/address", "cluster/peer", "cluster/raftlog", "cluster/sworn",
	}},
	"cluster/restore":    {ours: []string{"fsm", "trust", "cluster/internal", "cluster/raftlog", "cluster/sworn"}},
	"cluster/spotcheck":  {ours: []string{"witness"}},
	"cluster/sworn":      {ours: []string{"trust/access", "trust/keyfile", "trust/pki"}},
	"cluster/upgrade":    {ours: []string{"score", "trust/access", "cluster/peer", "cluster/status"}},
	"cluster/readindex":  {ours: []string{"cluster/peer"}},
	"httpapi":            {ours: []string{"score", "cache", "trust/access", "witness", "internal"}, never: []string{raft}},
	"client":             {ours: []string{"score", "trust/access", "trust/signing", "internal"}, never: []string{raft}},
	"client/eventstream": {strict: true},
	"client/verify":      {ours: []string{"score", "client", "witness"}, strict: true, others: []string{json}},
	"cmd":                {ours: []string{"score", "backup", "cache", "fsm", "cluster", "httpapi", "client", "trust", "witness", "cmd", "internal", "testdata"}},
	// The packages of a release are made of what the programs print; nothing of ours is linked.
	"deploy": {},
	// internal imports what it needs; score, cache and fsm never import it.
	"internal":         {ours: []string{"score", "backup", "cache", "fsm", "cluster", "httpapi", "client", "trust", "witness", "internal"}},
	"internal/address": {strict: true},
}

// ruleOf returns the rule for a file or package and the directory that it is for.
func ruleOf(path string) (dir string, r rule, known bool) {
	for dir := path; dir != "."; dir = pathpkg.Dir(dir) {
		if r, known := layout[dir]; known {
			return dir, r, true
		}
	}
	return "", rule{}, false
}

// raftOfFSM is the only file of fsm that knows hashicorp/raft: the rest of the state machine
// can be tested and read without it.
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
	dir, r, known := ruleOf(path)
	if !known {
		t.Errorf("%s is outside the layout; move it, or add its directory to layout with a rule", path)
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
		if why := r.objection(dir, imported, test); why != "" {
			t.Errorf("%s imports %s: %s", path, imported, why)
		}
		if within(path, "fsm") && path != raftOfFSM && !test && within(imported, raft) {
			t.Errorf("%s imports %s: only %s knows it", path, imported, raftOfFSM)
		}
	}
	return nil
}

// objection returns why a file under dir may not import a package, or "".
func (r rule) objection(dir, imported string, test bool) string {
	switch of, ours := strings.CutPrefix(imported, module+"/"); {
	case ours:
		allowed := func(d string) bool { return within(of, d) }
		switch {
		case within(of, dir):
		case within(of, "cmd") && dir != "cmd":
			return "nobody imports cmd"
		case !test && !slices.ContainsFunc(r.ours, allowed):
			return dir + " may import, of ours, only: " + strings.Join(r.ours, ", ")
		}
	case test || !otherPeoples(imported):
	case slices.ContainsFunc(r.never, func(m string) bool { return within(imported, m) }):
		return dir + " must not know it"
	case r.strict && !slices.ContainsFunc(r.others, func(m string) bool { return within(imported, m) }):
		return dir + " stays with the standard library" + strings.Join(append([]string{""}, r.others...), " and ")
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
