package main

import (
	"os"
	"os/exec"
	"testing"

	"laurel/internal/checked"
)

// esbuild removes types without checking them. The TypeScript compiler is a tool of this
// module; building it takes some minutes, so sources whose types were checked are not
// checked again. just types checks them, and writes their digests down.
func TestTypesOfThePageAreCorrect(t *testing.T) {
	if checked.Unchanged("types.sha256") {
		return
	}
	if os.Getenv("LAUREL_CI") != "full" {
		t.Skip("builds the TypeScript compiler; set LAUREL_CI=full, or run go -C httpapi/web/build tool tsgo -p ../app")
	}
	if out, err := exec.Command("go", "tool", "tsgo", "-p", "../app").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
