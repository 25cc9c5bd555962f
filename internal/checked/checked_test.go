package checked

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAFileThatIsChangedOrMissingIsNoticed(t *testing.T) {
	const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for name, c := range map[string]struct {
		list string
		want bool
	}{
		"unchanged":   {abc + "  one\n" + abc + "  two\n", true},
		"changed":     {abc + "  one\n" + abc + "  other\n", false},
		"missing":     {abc + "  one\n" + abc + "  three\n", false},
		"empty list":  {"", false},
		"not a list":  {"one\n", false},
		"without end": {abc + "  one", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, content := range map[string]string{"one": "abc", "two": "abc", "other": "abd", "sums": c.list} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := Unchanged(filepath.Join(dir, "sums")); got != c.want {
				t.Errorf("Unchanged = %v", got)
			}
		})
	}
	if Unchanged(filepath.Join(t.TempDir(), "sums")) {
		t.Error("without a list the files count as unchanged")
	}
}
