package filefault

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

const descriptors = "/proc/self/fd"

// Fail makes every later write and sync of the open file at path fail: its descriptors
// become those of a pipe, which has no disk. Without /proc the test is skipped, or fails
// if LAUREL_CI is "full".
func Fail(t testing.TB, path string) {
	t.Helper()
	list, err := os.ReadDir(descriptors)
	if err != nil && os.Getenv("LAUREL_CI") != "full" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	found := false
	for _, entry := range list {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		if name, _ := os.Readlink(filepath.Join(descriptors, entry.Name())); name != path {
			continue
		}
		found = true
		if err := unix.Dup3(pipe[1], fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("%s is not open", path)
	}
}
