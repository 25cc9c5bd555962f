package laurel

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTheArchitectureNamesEachPackage finds packages that docs/architecture.md does not name in
// the row of the directory that they are in. Commands are left out: --help lists them.
func TestTheArchitectureNamesEachPackage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, top := range []string{"score", "trust", "cache", "fsm", "cluster", "backup", "httpapi", "client", "internal"} {
		lines := strings.Split(string(text), "\n")
		i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "| `"+top+"` |") })
		if i < 0 {
			t.Errorf("no row is for %s", top)
			continue
		}
		files, err := fs.Glob(os.DirFS(top), "*/*.go")
		if err != nil {
			t.Fatal(err)
		}
		named := map[string]bool{}
		for _, file := range files {
			name := filepath.Dir(file)
			if !named[name] && !strings.Contains(lines[i], "`"+name+"`") {
				t.Errorf("the row of %s does not name %s", top, name)
			}
			named[name] = true
		}
	}
}
