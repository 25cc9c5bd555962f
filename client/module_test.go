package client_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"laurel/internal/testgroup"
)

// docs/feeds.md tells the authors of other programs to write a module like this one.
func TestAnotherModulePostsWithTheClient(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "feed")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../testdata/feed", "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", build, err, out)
	}
	group := testgroup.Start(t, 1)
	for _, want := range []string{"1 applied 1\n2 applied 2\n", "1 duplicate 1\n2 duplicate 2\n"} {
		out, err := exec.CommandContext(t.Context(), program, group.URLs()...).CombinedOutput()
		if err != nil || !strings.HasSuffix(string(out), want) {
			t.Errorf("got %q (%v); want %q", out, err, want)
		}
	}
}
