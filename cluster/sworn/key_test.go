package sworn

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"laurel/trust/keyfile"
)

// An operator may ask for the key while the frontend starts.
func TestThoseWhoMakeTheKeyOfAFrontendAtOnceGetTheSame(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		var made [4]ed25519.PrivateKey
		var all sync.WaitGroup
		for i := range made {
			all.Go(func() {
				var err error
				if made[i], err = WitnessKey(dir); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, key := range made {
			if !key.Equal(made[0]) {
				t.Error("they have got two keys")
			}
		}
		if _, err := StateOf(dir, made[0]).Load(); err != nil {
			t.Error(err)
		}
	}
}

func TestAKeyWithoutItsStateMayHaveSignedAnything(t *testing.T) {
	dir := t.TempDir()
	key, err := WitnessKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := StateOf(dir, key)
	if saved, err := s.Load(); saved != nil || err != nil {
		t.Errorf("of a new key: %q, %v", saved, err)
	}
	if err := s.Save([]byte("a\nb\n")); err != nil {
		t.Fatal(err)
	}
	again, err := WitnessKey(dir)
	if err != nil || !again.Equal(key) {
		t.Fatalf("another key: %v", err)
	}
	if saved, err := StateOf(dir, again).Load(); string(saved) != "a\nb\n" || err != nil {
		t.Errorf("after a restart: %q, %v", saved, err)
	}
	path, stored := filepath.Join(dir, stateFile), filepath.Join(dir, witnessFile)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	other, err := WitnessKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if saved, err := StateOf(dir, other).Load(); saved != nil || err != nil {
		t.Errorf("of another key: %q, %v", saved, err)
	}
	for what, spoil := range map[string]func() error{
		"that of another key": func() error { return nil },
		"empty":               func() error { return os.WriteFile(path, nil, 0o600) },
		"lost":                func() error { return os.Remove(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if saved, err := s.Load(); err == nil || !strings.Contains(err.Error(), witnessFile) {
			t.Errorf("a state that is %s: %q, %v", what, saved, err)
		}
		if what == "empty" || what == "lost" {
			if err := StateOf(dir, other).Save(nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The old key, put back, finds the state of the new one.
	if err := os.Remove(stored); err != nil {
		t.Fatal(err)
	}
	if err := keyfile.Write(stored, key); err != nil {
		t.Fatal(err)
	}
	if _, err := StateOf(dir, key).Load(); err == nil {
		t.Error("a key that was put back may sign")
	}
}
