package main

import (
	"os"
	"os/exec"
	"testing"
)

// esbuild removes types without checking them. The TypeScript compiler is a tool of this
// module; building it takes some minutes, once.
func TestTypesOfThePageAreCorrect(t *testing.T) {
	if os.Getenv("LAUREL_CI") != "full" {
		t.Skip("builds the TypeScript compiler; set LAUREL_CI=full, or run go -C httpapi/web/build tool tsgo -p ../app")
	}
	if out, err := exec.Command("go", "tool", "tsgo", "-p", "../app").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
