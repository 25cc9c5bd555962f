package client_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs more tests at once than there are cores, because they mostly wait.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
