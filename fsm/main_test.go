package fsm

import (
	"flag"
	"os"
	"testing"
)

// fullRun reports whether the long forms of the tests should run.
func fullRun() bool { return os.Getenv("LAUREL_CI") == "full" }

// shortChecks is the number of histories that a property test draws in its short form;
// rapid's default is the long form.
const shortChecks = "40"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given && !fullRun() {
		if err := flag.Set("rapid.checks", shortChecks); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
