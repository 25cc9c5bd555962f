package laurel

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// boundLine is a row of the table of bounds: what, how much, and the constant with the file that it is in.
var boundLine = regexp.MustCompile("(?m)^\\| .*`([A-Za-z0-9]+) = ([^`]+)` (\\S+\\.go) \\|$")

func TestTableOfBoundsSaysWhatTheCodeDoes(t *testing.T) {
	b, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "## Bounds\n")
	rows := boundLine.FindAllStringSubmatch(table, -1)
	if want := strings.Count(table, "\n| ") - 2; len(rows) != want || want < 30 {
		t.Errorf("%d of %d rows name a constant, its value and its file", len(rows), want)
	}
	for _, row := range rows {
		name, value, file := row[1], row[2], row[3]
		source, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		constant := regexp.MustCompile(`(?m)^(?:const)?\s*` + name + `\s*=\s*` + regexp.QuoteMeta(value) + `(?:\s*//.*)?$`)
		if !constant.Match(source) {
			t.Errorf("%s has no %s = %s", file, name, value)
		}
	}
}
