package main

import (
	"flag"
	"os"
	"testing"
	"time"

	"laurel/internal/cli"
)

// TestMain runs more tests at once than there are processors, as they wait most of the
// time for their groups.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	_ = os.Setenv("LAUREL_PATIENCE", "2m") // of commands that are given none, for the machine may be busy
	cli.AttemptTimeout = 30 * time.Second  // what a busy machine answers late is no failure
	os.Exit(m.Run())
}
