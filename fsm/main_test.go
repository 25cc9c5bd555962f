package fsm

import (
	"flag"
	"os"
	"testing"

	"laurel/internal/testlock"
)

// fullRun reports whether the long forms of the tests should run: in CI, but not under the race
// detector, which takes -short.
func fullRun() bool { return os.Getenv("LAUREL_CI") == "full" && !testing.Short() }

// shortChecks is the number of histories that a property test draws; with LAUREL_LONG=1 it
// draws as many as rapid does by default, 100.
const shortChecks = "40"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given && os.Getenv("LAUREL_LONG") == "" {
		if err := flag.Set("rapid.checks", shortChecks); err != nil {
			panic(err)
		}
	}
	if !testing.Short() { // what is synced here would hold back the logs of frontends
		if err := testlock.Wait(); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
