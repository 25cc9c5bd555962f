package laurel

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	namedTest   = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z][A-Za-z0-9]+\b`)
	definedTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]+)\(`)
)

// The documents name the test that holds a claim. A test that is renamed must be renamed there too.
func TestEveryTestThatTheDocumentsNameExists(t *testing.T) {
	defined, named := map[string]bool{}, map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		isTest, isDoc := strings.HasSuffix(path, "_test.go"), filepath.Ext(path) == ".md"
		if !isTest && !isDoc {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, match := range definedTest.FindAllSubmatch(b, -1) {
			defined[string(match[1])] = isTest
		}
		if isDoc {
			for _, name := range namedTest.FindAllString(string(b), -1) {
				named[name] = path
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(named) < 20 {
		t.Errorf("the documents name %d tests", len(named))
	}
	for name, path := range named {
		if !defined[name] {
			t.Errorf("%s names %s, which does not exist", path, name)
		}
	}
}

// hop is a row of the two walks in docs/architecture.md: a file and a function in it.
var hop = regexp.MustCompile(`(?m)^\| \d+ \| (\S+\.go) \| (\w+) \|`)

// The walks of an event and a read are short, and lead along functions that exist.
func TestEveryFunctionOfTheWalksExists(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, walks, _ := strings.Cut(string(page), "## One event, hop by hop")
	event, read, _ := strings.Cut(walks, "## One read, hop by hop")
	for walk, most := range map[string]int{event: 40, read: 12} {
		hops := hop.FindAllStringSubmatch(walk, -1)
		if len(hops) == 0 || len(hops) > most {
			t.Errorf("a walk has %d hops; want 1 to %d", len(hops), most)
		}
		for _, h := range hops {
			source, err := os.ReadFile(h[1])
			function := regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + h[2] + `\b`)
			if err != nil || !function.Match(source) {
				t.Errorf("%s has no function %s (%v)", h[1], h[2], err)
			}
		}
	}
}

// namedFile is a file of this repository in a document, with or without its folder.
var namedFile = regexp.MustCompile(`[\w./-]+\.(?:go|tsx?|yaml|pml|txt|ndjson)\b`)

// elsewhere are names in the documents that are no files of this repository: files of
// libraries, and modules.
var elsewhere = map[string]bool{
	"net_transport.go": true, "replication.go": true, "go.yaml": true, "google.go": true,
	"github.com/nats-io/nats.go": true,
}

// A file that is moved or renamed must be renamed in the documents, too.
func TestEveryFileThatTheDocumentsNameExists(t *testing.T) {
	var files []string
	named := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files = append(files, "/"+filepath.ToSlash(path))
		if filepath.Ext(path) != ".md" || path == "CHANGELOG.md" {
			return nil
		}
		b, err := os.ReadFile(path)
		for _, name := range namedFile.FindAllString(string(b), -1) {
			named[strings.TrimLeft(name, "./")] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range named {
		exists := slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, "/"+name) })
		if !exists && !elsewhere[name] {
			t.Errorf("%s names %s, which does not exist", path, name)
		}
	}
}
