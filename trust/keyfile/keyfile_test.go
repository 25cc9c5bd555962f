package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestAKeyIsMadeOnceAndOnlyItsOwnerReadsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.key")
	made, err := New(file)
	if err != nil {
		t.Fatal(err)
	}
	read, err := Read(file)
	if err != nil || !read.Equal(made) {
		t.Errorf("it is read as another key, %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if _, err := New(file); err == nil {
		t.Error("a new key has replaced the old one")
	}
	for _, mode := range []os.FileMode{0o604, 0o602, 0o640, 0o620} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("a key with the mode %o: %v", mode, err)
		}
	}
	if os.Geteuid() == 0 { // a key that another user owns, as one that is given to a service
		for mode, ok := range map[os.FileMode]bool{0o440: true, 0o444: false} {
			if err := errors.Join(os.Chmod(file, mode), os.Chown(file, 1, 1)); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(file); (err == nil) != ok {
				t.Errorf("another user's key with the mode %o: %v", mode, err)
			}
		}
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("a damaged file is a key")
	}
}

func TestAKeyIsInItsFileWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		file, made := filepath.Join(dir, strconv.Itoa(i)), make(chan error, 1)
		go func() {
			_, err := New(file)
			made <- err
		}()
		for done := false; !done; {
			select {
			case err := <-made:
				if err != nil {
					t.Fatal(err)
				}
				done = true
			default:
			}
			if _, err := Read(file); err != nil && (done || !errors.Is(err, fs.ErrNotExist)) {
				t.Fatal(err)
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".new-*")); left != nil || err != nil {
		t.Errorf("it has left %v, %v", left, err)
	}
}
