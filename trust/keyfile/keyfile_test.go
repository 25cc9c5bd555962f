package keyfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAKeyIsMadeOnceAndOnlyItsOwnerReadsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.key")
	made, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(file)
	if err != nil || !again.Equal(made) {
		t.Errorf("opened again it is another key, %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if _, err := New(file); err == nil {
		t.Error("a new key has replaced the old one")
	}
	if err := os.Chmod(file, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that everybody can read: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(file); err == nil {
		t.Error("a damaged file was replaced by a new key")
	}
}
